"""Every attempt of every run as a line of the books, read record by record: there may be ten thousand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.expand import audit, promotions
from tools.findings import Finding, compose
from tools.formats.audit import Attempt, Audit, Result
from tools.repository import Repository
from tools.yamlsource.document import Refused

UNKNOWN = "unknown"
_MODEL = re.compile(r"^  model:\n    name: ([a-z0-9-]+)$", re.MULTILINE)
_REMEDY = "restore it from git; only the bot writes here"


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which attempts are wanted; None: all. month: of the authorization, `2026-11`, UTC."""

    environment: str | None = None
    tenant: str | None = None
    month: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One attempt.

    result: None while it goes on. planned: GPU-hours of its limit. used: GPU-hours once it is over, the limit where nobody could
    measure them (`measured` is false then), as the quota counts them. committed: the limit while it goes on.
    idle: GPU-hours of `used` in which no GPU worked, None where nobody knows. tokens: of this attempt alone, None as well.
    cost, currency: of the used hours at the price of the authorization; None where none was recorded.
    """

    run: tuple[str, str, str]
    model: str
    attempt: int
    month: str
    result: Result | None
    measured: bool
    planned: float
    used: float
    committed: float
    idle: float | None
    tokens: int | None
    cost: float | None
    currency: str | None

    @property
    def environment(self) -> str:
        """Where it ran."""
        return self.run[0]

    @property
    def tenant(self) -> str:
        """Whose it is."""
        return self.run[1]


def entries(repository: Repository, chosen: Chosen) -> Iterator[Entry | Finding]:
    """The attempts of all chosen records in order of their files; a finding for each file that is no record."""
    for record in records(repository, chosen):
        if isinstance(record, Finding):
            yield record
        else:
            yield from _of(repository, record, chosen.month)


def records(repository: Repository, chosen: Chosen) -> Iterator[Audit | Finding]:
    """The records of the chosen environment and tenant, of all months; a finding for each file that is none."""
    for file in _files(repository, chosen):
        parsed = audit.read(repository, file)
        record = parsed.value
        if record is None or parsed.findings:
            yield from parsed.findings[:1]
        elif record.file != file:
            yield _broken(file, f"the record belongs to {record.file}")
        else:
            yield record


def _files(repository: Repository, chosen: Chosen) -> Iterator[str]:
    """Everything that lies where a record should; `ft expand --check` looks at the rest of audit/."""
    top = repository.root / audit.FOLDER
    for environment in _inside(top, chosen.environment):
        for tenant in _inside(environment, chosen.tenant):
            for path in _inside(tenant, None):
                file = path.relative_to(repository.root).as_posix()
                if not promotions.is_one(file) and (path.is_symlink() or not path.is_dir()):
                    yield file


def _inside(folder: Path, only: str | None) -> list[Path]:
    """What a folder holds but hidden things, sorted; nothing where it is no folder, or a link to one."""
    if folder.is_symlink() or not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and only in {None, path.name})


def _of(repository: Repository, record: Audit, month: str | None) -> Iterator[Entry]:
    model = record.trained.model if record.trained is not None else _model(repository, record)
    before = 0
    for attempt in record.attempts:
        entry = _entry(record, attempt, model, before)
        outcome = attempt.outcome
        if outcome is not None and outcome.measured is not None:
            before = max(before, outcome.measured.tokens or 0)
        if month in {None, entry.month}:
            yield entry


def _entry(record: Audit, attempt: Attempt, model: str, before: int) -> Entry:
    """before: tokens that the run had seen when the attempt began; it goes on from the last checkpoint."""
    outcome, limit, price = attempt.outcome, record.estimated.gpu_hours_limit, attempt.authorized.price
    measured = outcome.measured if outcome is not None else None
    used = 0.0 if outcome is None else measured.gpu_hours if measured is not None else limit
    idle = measured.idle_share if measured is not None else None
    tokens = measured.tokens if measured is not None else None
    return Entry(
        run=(record.environment, record.tenant, record.run_id),
        model=model,
        attempt=attempt.attempt,
        month=attempt.authorized.at[:7],
        result=outcome.result if outcome is not None else None,
        measured=measured is not None,
        planned=limit,
        used=used,
        committed=limit if outcome is None else 0.0,
        idle=None if idle is None else idle * used,
        tokens=None if tokens is None else max(0, tokens - before),
        cost=None if price is None else used * price.per_gpu_hour,
        currency=None if price is None else price.currency,
    )


def _model(repository: Repository, record: Audit) -> str:
    """Of a record from before it was written there: from the overlay, if that is still this run's."""
    try:
        locks = repository.locks.of(record.tenant, record.experiment)
    except Refused:
        return UNKNOWN
    texts = (lock.text for lock in locks if (lock.environment, lock.run_id) == (record.environment, record.run_id))
    return next((match[1] for text in texts if (match := _MODEL.search(text))), UNKNOWN)


def _broken(file: str, found: str) -> Finding:
    return Finding(file, 1, 1, "audit-path", "error", compose(found, file, _REMEDY))
