"""What may be proposed: of each model the newest version whose evaluation passed, unless it is served, older or recalled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tools.bot.upkeep.watching import records
from tools.expand import serving
from tools.formats.audit import Audit
from tools.formats.serving import Serving
from tools.recalls import Recalls
from tools.repository import Repository
from tools.rules.served import registered
from tools.serving_file import file_of, served_by

_PASSED = "evaluation: passed"
_PREFIX = "ft-bot/serve-"


@dataclass(frozen=True)
class Candidate:
    """One version to propose. running: what is served now."""

    environment: str
    name: str
    record: Audit
    served: Serving
    running: Serving | None

    @property
    def file(self) -> str:
        """What the merge request changes."""
        return file_of(self.environment, self.name)

    @property
    def branch(self) -> str:
        """One branch a version, by which it is never proposed twice. The dot keeps tenant and model apart."""
        return f"{prefix(self.environment)}{self.name}-v{self.served.model_version}"


def prefix(environment: str) -> str:
    """What the branches of an environment's proposals begin with."""
    return f"{_PREFIX}{environment}/"


def candidates(repository: Repository, environment: str) -> list[Candidate]:
    """One a model at most, by name."""
    newest: dict[str, Candidate] = {}
    for found in _passed(repository, environment):
        known = newest.get(found.name)
        if known is None or known.served.model_version < found.served.model_version:
            newest[found.name] = found
    recalls = Recalls(repository)
    return [found for _, found in sorted(newest.items()) if _is_news(found) and not recalls.blocking(found.record)]


def running(repository: Repository, environment: str, name: str) -> Serving | None:
    """What is served of a model."""
    folder = serving.overlay_of(file_of(environment, name))
    lock = serving.read(repository, folder).value if (repository.root / folder).is_dir() else None
    return lock.content.served if lock is not None else None


def _passed(repository: Repository, environment: str) -> Iterator[Candidate]:
    for record in records(repository, environment, _PASSED):
        made, served = registered(record), served_by(record)
        own = made is not None and made.name.startswith(f"{record.tenant}.")
        if made is not None and served is not None and own and made.evaluation == "passed":
            yield Candidate(environment, made.name, record, served, running(repository, environment, made.name))


def _is_news(found: Candidate) -> bool:
    return found.running is None or found.served.model_version > found.running.model_version
