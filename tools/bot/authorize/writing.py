"""What a verdict changes in the tree: the overlay that Argo CD reads, and the audit record that outlives it."""

from __future__ import annotations

import hashlib
from datetime import datetime

from tools.bot.authorize.approved import approvals as recorded
from tools.bot.authorize.approved import person, signed
from tools.bot.authorize.judging import Decided
from tools.bot.upkeep.outcomes import cancelled, estimated, price, stamp, trained
from tools.expand import audit, locks, overlay
from tools.formats.audit import (
    Attempt,
    Audit,
    Authorization,
    hashes,
    path_of,
)
from tools.formats.lock import Lock
from tools.plan.estimate import Plan
from tools.repository import Repository

Changes = dict[str, bytes | None]


def started(repository: Repository, decided: Decided, now: datetime) -> Changes:
    """The overlay and the record of a run, or of its next attempt, that may start."""
    candidate, conduct, rules = decided.candidate, decided.conduct, decided.rules
    assert candidate.run.plan is not None
    assert conduct is not None
    assert rules is not None
    merge_request, approvals = conduct.merge_request, decided.verdict.approvals
    assert merge_request.merged_at is not None
    authorization = Authorization(
        at=stamp(now),
        merge_request=merge_request.iid,
        merged_at=stamp(merge_request.merged_at),
        merged_by=person(merge_request.merged_by) if merge_request.merged_by else None,
        author=person(merge_request.author),
        commit=candidate.landing.commit,
        required_approvals=rules.required,
        approvals=recorded(approvals),
        price=price(candidate.run.plan),
    )
    attempt = candidate.run.attempt
    lock = candidate.run.plan.lock.model_copy(
        update={"attempt": attempt, "state": "active", "authorized": signed(authorization)}
    )
    record = _record(
        repository,
        candidate.file,
        lock,
        candidate.run.plan,
        Attempt(attempt=attempt, authorized=authorization, outcome=None),
    )
    return {**_overlay(repository, lock), record.file: audit.content(record)}


def stopped(repository: Repository, decided: Decided, now: datetime) -> Changes:
    """No overlay, and an outcome for the attempt that was cut short."""
    run = decided.candidate.run
    changes: Changes = {}
    for folder in locks.of_experiment(repository, run.tenant, run.name):
        lock = repository.lock(f"{folder}/{overlay.LOCK_FILE}")
        changes |= dict.fromkeys(repository.files_below(folder))
        record = repository.optional(path_of(lock), Audit)
        if record is not None and record.last.outcome is None:
            assert decided.conduct is not None
            ended = cancelled(record, stamp(now), f"cancelled by !{decided.conduct.merge_request.iid}")
            changes[record.file] = audit.content(ended)
    return changes


def _record(repository: Repository, file: str, lock: Lock, plan: Plan, attempt: Attempt) -> Audit:
    known = repository.optional(path_of(lock), Audit)
    if known is not None:
        return known.model_copy(update={"attempts": [*known.attempts, attempt], "retired_at": None})
    return Audit(
        version=1,
        run_id=lock.run_id,
        sha256=lock.sha256,
        tenant=lock.run.tenant,
        environment=lock.run.environment,
        experiment=lock.run.name,
        hashes=hashes(lock, hashlib.sha256((repository.root / file).read_bytes()).hexdigest()),
        trained=trained(plan),
        estimated=estimated(plan),
        attempts=[attempt],
        retired_at=None,
    )


def _overlay(repository: Repository, lock: Lock) -> Changes:
    folder = overlay.folder(lock.run)
    old: Changes = dict.fromkeys(repository.files_below(folder))
    return old | {f"{folder}/{name}": content for name, content in overlay.files(lock).items()}
