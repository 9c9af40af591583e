"""The outcome in a run's audit record: finished, failed or cancelled, with what it took and what came of it.

An outcome may become better known: a failed publication is repeated and succeeds, MLflow answers again, a version is registered
by hand. It never becomes worse: what is measured and registered stays.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from tools.bot.upkeep import usage
from tools.cluster import objects
from tools.cluster.look import Status
from tools.cluster.tracking import Away, Tracked
from tools.formats.audit import Attempt, Audit, Estimated, Measured, Outcome, Registered
from tools.formats.lock import Lock
from tools.plan.estimate import Plan

_CAUSE = 1000
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_DIGITS = 2
_SHA256 = re.compile(r"[0-9a-f]{64}")
_VERDICTS: tuple[Literal["passed", "failed", "none"], ...] = ("passed", "failed", "none")


@dataclass(frozen=True)
class Recorder:
    """Turns what is seen of a run into its outcome. tracking_uri: MLflow instead of the one that each lock names."""

    now: datetime
    tracking_uri: str | None = None

    def updated(self, record: Audit, status: Status) -> Audit | None:
        """The record with what is known now of the attempt that the overlay runs; None when it says so already."""
        lock = status.seen.run.lock
        assert lock is not None
        known = next((entry for entry in record.attempts if entry.attempt == lock.attempt), None)
        if known is None or lock.sha256 != record.sha256:
            return None
        seen = self._outcome(lock, status)
        better = _better(known.outcome, seen) if seen is not None else known.outcome
        return None if better == known.outcome else _with_outcome(record, lock.attempt, better)

    def _outcome(self, lock: Lock, status: Status) -> Outcome | None:
        """How the attempt ended; None while it runs, or while somebody who must say so is away."""
        phase = status.verdict.phase
        if phase not in {"finished", "failed"} or not status.seen.seen:
            return None
        seen = status.seen
        try:
            peak = usage.peak_memory(lock, seen.tracked, self.tracking_uri)
        except Away:
            peak = None
        return Outcome(
            result="finished" if phase == "finished" else "failed",
            at=stamp(_end(status) or self.now),
            cause=None if phase == "finished" else (status.verdict.reason or "no reason was given")[:_CAUSE],
            measured=usage.measured(seen, peak),
            registered=_registered(lock, seen.tracked),
        )


def cancelled(record: Audit, at: str, cause: str | None = None) -> Audit:
    """The record of a run whose overlay `state: cancelled` removed at a time (ISO 8601, UTC), with what it took at most.

    Its GPU-hours are at most those since the authorization, however soon its pods are gone. An outcome that is there stays;
    a cancellation without a measurement gets one.
    """
    last, known = record.last, record.last.outcome
    if known is not None and (known.result != "cancelled" or known.measured is not None):
        return record
    if known is not None:
        at, cause = known.at, known.cause
    since = datetime.fromisoformat(at) - datetime.fromisoformat(last.authorized.at)
    hours = max(0.0, since.total_seconds() / usage.HOUR * record.estimated.gpus)
    hours = round(min(hours, record.estimated.gpu_hours_limit), usage.HOURS_DIGITS)
    most = Measured(gpu_hours=hours, peak_memory_bytes=None)
    ended = Outcome(result="cancelled", at=at, cause=cause, measured=most, registered=None)
    return _with_outcome(record, last.attempt, ended)


def estimated(plan: Plan) -> Estimated:
    """What a plan said, for the record of the run that it allows."""
    devices = plan.lock.run.resources.gpus * plan.lock.run.resources.nodes

    def hours(of: float | None) -> float | None:
        return None if of is None else round(of * devices, _DIGITS)

    return Estimated(
        gpus=devices,
        gpu_hours_limit=plan.planned_gpu_hours,
        gpu_hours_low=hours(plan.duration.low),
        gpu_hours_high=hours(plan.duration.high),
        peak_memory_bytes=round(plan.needed),
    )


def stamp(moment: datetime) -> str:
    """A time as records write it."""
    return moment.astimezone(UTC).strftime(_TIME)


def _end(status: Status) -> datetime | None:
    """When the last of its Jobs was over."""
    jobs = [job for job in (status.seen.job, status.seen.hook) if job is not None]
    over = [objects.condition(job, kind) for job in jobs for kind in ("Complete", "Failed")]
    times = [usage.moment(entry.get("lastTransitionTime")) for entry in over if entry is not None]
    return usage.last([*times, *(usage.moment(objects.at(job, "status", "completionTime")) for job in jobs)])


def _registered(lock: Lock, tracked: Tracked | None) -> Registered | None:
    """The version, with the hash of what was published and the evaluation's verdict.

    Whoever may write tags may write anything there: what is no hash and no verdict is left out.
    """
    if tracked is None or tracked.version is None or lock.run.publish is None:
        return None
    publication = tracked.publication if _SHA256.fullmatch(tracked.publication or "") else None
    verdict = next((word for word in _VERDICTS if word == tracked.evaluation), None)
    name = lock.run.publish.model_name
    return Registered(name=name, version=tracked.version, publication=publication, evaluation=verdict)


def _better(known: Outcome | None, seen: Outcome) -> Outcome:
    """What is known and what is seen in one; only a failure gives way to another result."""
    if known is None:
        return seen
    if known.result == "failed" and seen.result == "finished":
        best = seen
    elif known.result == seen.result:
        best = known
    else:
        return known
    filled = {"measured": _measured(known, seen), "registered": _fuller(best.registered, seen.registered)}
    return best.model_copy(update=filled)


def _fuller(known: Registered | None, seen: Registered | None) -> Registered | None:
    """What was recorded first stays; what it lacks is filled in while the version is the same."""
    if known is None or seen is None or (known.name, known.version) != (seen.name, seen.version):
        return known or seen
    lacks = {"publication": known.publication or seen.publication, "evaluation": known.evaluation or seen.evaluation}
    return known.model_copy(update=lacks)


def _measured(known: Outcome, seen: Outcome) -> Measured | None:
    """The first measurement, with a peak that MLflow told later."""
    if known.measured is None or seen.measured is None:
        return known.measured or seen.measured
    peak = known.measured.peak_memory_bytes or seen.measured.peak_memory_bytes
    return known.measured.model_copy(update={"peak_memory_bytes": peak})


def _with_outcome(record: Audit, attempt: int, outcome: Outcome | None) -> Audit:
    def changed(entry: Attempt) -> Attempt:
        return entry.model_copy(update={"outcome": outcome}) if entry.attempt == attempt else entry

    return record.model_copy(update={"attempts": [changed(entry) for entry in record.attempts]})
