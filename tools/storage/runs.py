"""What git knows of a tenant's runs in an environment: overlays are what should be running, audit/ is what ran."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from tools.expand import audit, locks
from tools.formats.audit import Audit
from tools.formats.lock import Lock, is_sealed
from tools.repository import Repository

State = Literal["active", "finished", "failed", "cancelled", "unclear"]


@dataclass(frozen=True, slots=True)
class Run:
    """One run.

    state: active runs, waits, or has not been recorded yet. ended: when its last attempt was over. overlay: whether it has one,
    so that a sync may start its Jobs again. registered: whether nothing of it is left to publish.
    """

    run_id: str
    sha256: str
    experiment: str
    state: State
    ended: datetime | None
    overlay: bool
    registered: bool
    record: Audit | None


def known(repository: Repository, environment: str, tenant: str, wanted: frozenset[str]) -> dict[str, Run]:
    """Run id -> run, of the wanted ones that have a valid lock or record; what belongs to others is not among them."""
    records = _records(repository, environment, tenant, wanted)
    found = {run_id: _run(record, None) for run_id, record in records.items()}
    for lock in _locks(repository, environment, tenant, {run_id.rpartition("-")[0] for run_id in wanted}):
        record = records.get(lock.run_id)
        if lock.run_id in wanted and (record is None or record.sha256 == lock.sha256):
            found[lock.run_id] = _run(record, lock)
    return found


def _locks(repository: Repository, environment: str, tenant: str, names: set[str]) -> list[Lock]:
    folders = {f"{locks.OVERLAYS}/{environment}/{tenant}/{name}" for name in names}
    parsed = [locks.read(repository, folder) for folder in locks.runs(repository) if folder in folders]
    valid = [found.value for found in parsed if found.value is not None and not found.findings]
    return [lock for lock in valid if is_sealed(lock)]


def _records(repository: Repository, environment: str, tenant: str, wanted: frozenset[str]) -> dict[str, Audit]:
    folder = repository.root / audit.FOLDER / environment / tenant
    found = {}
    for path in (path for run_id in sorted(wanted) if (path := folder / f"{run_id}.yaml").is_file()):
        parsed = audit.read(repository, path.relative_to(repository.root).as_posix())
        record = parsed.value
        if record is not None and not parsed.findings and (record.environment, record.tenant) == (environment, tenant):
            found[record.run_id] = record
    return found


def _run(record: Audit | None, lock: Lock | None) -> Run:
    state, ended = _state(record, lock)
    if record is not None:
        run_id, sha256, experiment = record.run_id, record.sha256, record.experiment
        registered = record.retired_at is not None or any(
            each.outcome is not None and each.outcome.registered is not None for each in record.attempts
        )
    else:
        assert lock is not None
        run_id, sha256, experiment, registered = lock.run_id, lock.sha256, lock.run.name, False
    if lock is not None and lock.run.publish is None:
        registered = True  # there is nothing to register
    return Run(run_id, sha256, experiment, state, ended, lock is not None, registered, record)


def _state(record: Audit | None, lock: Lock | None) -> tuple[State, datetime | None]:
    """A lock without a record is a local run: only its storage says whether it is over."""
    if record is None:
        return "active", None
    last = record.last
    if lock is not None and lock.attempt > last.attempt:
        return "active", None  # its authorization is not recorded yet
    if last.outcome is None:
        return ("active" if lock is not None else "unclear"), None
    return last.outcome.result, datetime.strptime(last.outcome.at, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
