"""Runs of a test's platform as the bot leaves them: an authorized lock and the audit record beside it."""

from __future__ import annotations

from pathlib import Path

from tools.expand import audit, overlay, store
from tools.formats.audit import (
    Approval,
    Attempt,
    Audit,
    Authorization,
    Estimated,
    Measured,
    Outcome,
    Registered,
    Result,
    hashes,
)
from tools.formats.lock import Authorized, Lock
from tools.formats.people import Person
from tools.plan.quota import gpu_hours
from tools.repository import Repository

PLAIN = "overlays/dev/team-a/plain"
AT = "2026-11-03T10:00:00Z"
COMMIT = "1" * 40
MERGE_REQUEST = 7
APPROVER = Person(username="ewa.lis", id=203)
AUTHOR = Person(username="anna.nowak", id=101)


def authorization(at: str = AT) -> Authorization:
    """Merge request 7 of one person, approved and merged by another."""
    return Authorization(
        at=at,
        merge_request=MERGE_REQUEST,
        merged_at=at,
        merged_by=APPROVER,
        author=AUTHOR,
        commit=COMMIT,
        required_approvals=1,
        approvals=[Approval(user=APPROVER, at=at, role="approver")],
    )


def outcome(
    result: Result = "finished", *, hours: float | None = 1.5, version: int | None = 3, at: str = AT
) -> Outcome:
    """An outcome; `hours` None: nothing was measured."""
    return Outcome(
        result=result,
        at=at,
        cause="training failed: out of memory" if result == "failed" else None,
        measured=None if hours is None else Measured(gpu_hours=hours, peak_memory_bytes=5 << 30),
        registered=None if version is None else Registered(name="team-a.support", version=version),
    )


def record(lock: Lock, ended: Outcome | None = None, *, at: str = AT) -> Audit:
    """The record of a run with one attempt."""
    return Audit(
        version=1,
        run_id=lock.run_id,
        sha256=lock.sha256,
        tenant=lock.run.tenant,
        environment=lock.run.environment,
        experiment=lock.run.name,
        hashes=hashes(lock, "e" * 64),
        estimated=Estimated(
            gpus=lock.run.resources.gpus * lock.run.resources.nodes,
            gpu_hours_limit=gpu_hours(lock.run),
            gpu_hours_low=1.0,
            gpu_hours_high=2.0,
            peak_memory_bytes=6 << 30,
        ),
        attempts=[Attempt(attempt=lock.attempt, authorized=authorization(at), outcome=ended)],
        retired_at=None,
    )


def write(platform: Path, found: Audit) -> Path:
    """Put a record where it belongs."""
    path = platform / found.file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(audit.content(found))
    return path


def authorize(platform: Path, folder: str = PLAIN, ended: Outcome | None = None, *, at: str = AT) -> Audit:
    """Make an expanded run an authorized one: lock and record, no commit."""
    lock = Repository(platform).lock(f"{folder}/run.yaml")
    signed = Authorized(at=at, commit=COMMIT, merge_request=MERGE_REQUEST, approvers=[APPROVER.username])
    lock = lock.model_copy(update={"authorized": signed})
    store.replace(platform / folder, overlay.files(lock))
    made = record(lock, ended, at=at)
    write(platform, made)
    return made
