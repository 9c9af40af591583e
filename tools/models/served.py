"""What is served, by git: the overlay of each model, the record of the run behind it, and whether its data was recalled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tools.expand import serving
from tools.formats.audit import Audit, path
from tools.formats.serving_lock import ServingLock
from tools.recalls import Recalled, Recalls
from tools.repository import Repository


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One served model. record: None where audit/ has none. recalled: why it must not be promoted again."""

    lock: ServingLock
    record: Audit | None
    recalled: tuple[Recalled, ...]


def served(repository: Repository, environment: str | None = None) -> Iterator[ServedModel]:
    """Every served model of an environment, or of all."""
    recalls = Recalls(repository)
    for folder in serving.folders(repository, environment):
        parsed = serving.read(repository, folder)
        if parsed.value is None or parsed.findings:  # `ft expand --check` says why
            continue
        content = parsed.value.content
        record = repository.optional(path(content.environment, content.tenant, content.served.run_id), Audit)
        yield ServedModel(parsed.value, record, tuple(recalls.blocking(record)) if record is not None else ())


def recalled_but_served(repository: Repository, environment: str) -> Iterator[str]:
    """What somebody has to take out of service, a sentence each."""
    for each in served(repository, environment):
        content = each.lock.content
        for why in each.recalled:
            yield (
                f"{content.registered_name} in {content.environment} serves {content.served.run_id}, trained on data that"
                f" {why.file} recalls: promote another version (`ft promote`), or remove"
                f" {serving.source_of(serving.folder(content))} by a merge request"
            )
