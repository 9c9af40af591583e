"""Experiments that main holds and that changed since the last deployed commit, each with the run that its content gives.

Everything is recomputed with the tools' own code from main's files as data.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tools.bot.authorize.history import Landing, last_of
from tools.bot.report.runs import Run, examine
from tools.findings import Finding
from tools.formats.audit import Audit, path_of
from tools.formats.lock import Lock
from tools.plan.planner import Planner
from tools.repository import Repository
from tools.rules.kinds import place_of
from tools.rules.subject import Subject
from tools.validate import check


@dataclass(frozen=True)
class Candidate:
    """One experiment, the landing that gave it its content, and what it asks for.

    environment: where it runs; empty where the file does not say so in a valid way. faults: errors of validation.
    """

    file: str
    landing: Landing
    run: Run
    environment: str
    faults: tuple[str, ...]

    @property
    def lock(self) -> Lock | None:
        """What would run; None where it cannot be resolved."""
        return self.run.plan.lock if self.run.plan is not None else None


@dataclass
class Holding:
    """What main holds, as files in a folder."""

    repository: Repository
    planner: Planner = field(init=False)

    def __post_init__(self) -> None:
        self.planner = Planner(self.repository)

    def candidates(self, landings: Sequence[Landing]) -> Iterator[Candidate]:
        """The changed experiments that are there, in the order in which they landed."""
        for file in changed(landings, "experiment"):
            landing = last_of(landings, file)
            if landing is not None and (self.repository.root / file).is_file():
                yield self._candidate(file, landing)

    def recorded(self, lock: Lock) -> Audit | None:
        """The audit record of this very run."""
        record = self.repository.optional(path_of(lock), Audit)
        return record if record is not None and record.sha256 == lock.sha256 else None

    def collision(self, lock: Lock) -> str:
        """What to say where another run has the same short name: their folders would be one. Empty where none has."""
        record = self.repository.optional(path_of(lock), Audit)
        if record is None or record.sha256 == lock.sha256:
            return ""
        return f"another run is called {lock.run_id} already: change the experiment's description by a merge request"

    def hours(self, lock: Lock, attempt: int) -> float:
        """GPU-hours that the tenant's runs take of this month, without those of this attempt."""
        spent = self.repository.locks.spent(lock.run.environment, lock.run.tenant)
        return sum(entry.hours for entry in spent if (entry.run_id, entry.attempt) != (lock.run_id, attempt))

    def _candidate(self, file: str, landing: Landing) -> Candidate:
        errors = [finding for finding in check(self.repository, file) if finding.severity == "error"]
        run, more = examine(self.planner, file, faulty=bool(errors), plan=True)
        faults = [in_words(finding) for finding in [*errors, *more]]
        if run.action == "invalid" and not faults:
            faults.append(f"{file}: {run.why}")
        return Candidate(file, landing, run, self._environment(file), tuple(faults))

    def _environment(self, file: str) -> str:
        place = place_of(file)
        parsed = self.repository.experiment(file)
        if place is None or parsed.value is None:
            return ""
        return Subject(self.repository, parsed, place.tenant_name, place.name).environment_name or ""


def changed(landings: Sequence[Landing], kind: str) -> list[str]:
    """Files of a kind whose content is another one after the landings than before them, in the order of the last change."""
    before: dict[str, str | None] = {}
    after: dict[str, str | None] = {}
    for landing in landings:
        for path, (old, new) in landing.changed.items():
            place = place_of(path)
            if place is not None and place.kind == kind:
                before.setdefault(path, old)
                after.pop(path, None)
                after[path] = new
    return [path for path, blob in after.items() if blob != before[path]]


def in_words(finding: Finding) -> str:
    """A fault as a reason of a refusal."""
    return f"{finding.file}:{finding.line}:{finding.column}: {finding.message}: correct it by a merge request"
