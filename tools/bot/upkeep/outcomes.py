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
from tools.bot.upkeep.told import Asked, Told, told
from tools.cluster import objects
from tools.cluster.look import Status
from tools.cluster.observed import Observed
from tools.cluster.tracking import Away, Tracked, Tracking
from tools.formats.audit import (
    MOST_HOURS,
    Attempt,
    Audit,
    Estimated,
    Measured,
    Outcome,
    Predicted,
    Price,
    Registered,
    Trained,
)
from tools.formats.lock import Lock
from tools.plan.estimate import Plan
from tools.plan.hours import HOUR
from tools.predict.pairs import FORMULAS

_CAUSE = 1000
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_DIGITS = 2
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LOGGED = ("peak_memory_bytes", "idle_share", "tokens", "training_hours")
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
        seen = self._outcome(lock, status, record)
        better = _better(known.outcome, seen) if seen is not None else known.outcome
        return None if better == known.outcome else _with_outcome(record, lock.attempt, better)

    def told_of_cancelled(self, record: Audit, tracking_uri: str) -> Audit | None:
        """The record of a cancelled run with what MLflow knows of it; None where that is nothing new. Its overlay is gone.

        Raises:
            Away: MLflow does not answer.
        """
        last, server = record.last, Tracking(self.tracking_uri or tracking_uri)
        if last.outcome is None or last.outcome.measured is None:
            return None
        mlflow_run = server.run_of(record.tenant, record.sha256)
        if mlflow_run is None:
            return None
        most = _earlier(record, last) + last.outcome.measured.gpu_hours / max(1, record.estimated.gpus)
        since = datetime.fromisoformat(last.authorized.at).timestamp()
        asked = Asked(mlflow_run, record.estimated.gpus, since, most, finished=False)
        measured = _filled(last.outcome.measured, told(server, asked))
        if measured == last.outcome.measured:
            return None
        return _with_outcome(record, last.attempt, last.outcome.model_copy(update={"measured": measured}))

    def _outcome(self, lock: Lock, status: Status, record: Audit) -> Outcome | None:
        """How the attempt ended; None while it runs, or while somebody who must say so is away."""
        phase = status.verdict.phase
        if phase not in {"finished", "failed"} or not status.seen.seen:
            return None
        seen = status.seen
        try:
            logged = self._told(lock, seen, record, finished=phase == "finished")
        except Away:
            logged = Told()
        return Outcome(
            result="finished" if phase == "finished" else "failed",
            at=stamp(_end(status) or self.now),
            cause=None if phase == "finished" else (status.verdict.reason or "no reason was given")[:_CAUSE],
            measured=usage.measured(seen, logged),
            registered=_registered(lock, seen.tracked),
        )

    def _told(self, lock: Lock, seen: Observed, record: Audit, *, finished: bool) -> Told:
        if seen.tracked is None:
            return Told()
        entry = next(each for each in record.attempts if each.attempt == lock.attempt)
        own = usage.pod_hours(seen)
        most = None if own is None else own + _earlier(record, entry)
        since = datetime.fromisoformat(entry.authorized.at).timestamp()
        server = Tracking(self.tracking_uri or lock.run.mlflow.tracking_uri)
        return told(server, Asked(seen.tracked.run_id, lock.run.resources.gpus, since, most, finished))


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
    hours = max(0.0, since.total_seconds() / HOUR * record.estimated.gpus)
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
        predicted=_predicted(plan),
    )


def _predicted(plan: Plan) -> Predicted | None:
    found = plan.prediction
    if found is None:
        return None
    return Predicted(
        formulas=FORMULAS,
        formula_peak_bytes=round(found.formula_peak),
        peak_bytes=round(found.peak),
        formula_hours=_positive(found.formula_hours),
        hours=_positive(found.hours),
        seen=found.seen,
    )


def _positive(hours: float | None) -> float | None:
    """With six significant digits: a run of a second is not nothing."""
    return float(f"{hours:.6g}") if hours is not None and hours <= MOST_HOURS else None


def trained(plan: Plan) -> Trained:
    """What kind of run a plan is of."""
    run = plan.lock.run
    return Trained(model=run.model.name, gpu=plan.device if run.resources.gpus else None, method=plan.work.method)


def price(plan: Plan) -> Price | None:
    """What the catalogue asks for a GPU-hour now; None where it names no currency."""
    return Price(per_gpu_hour=plan.price, currency=plan.currency) if plan.currency else None


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
    """The first measurement, with what MLflow told later."""
    if known.measured is None or seen.measured is None:
        return known.measured or seen.measured
    return _filled(known.measured, seen.measured)


def _filled(known: Measured, later: Measured | Told) -> Measured:
    """What was recorded first stays; the hours are the cluster's alone."""
    lacks = {name: getattr(later, name) for name in _LOGGED if getattr(known, name) is None}
    return known.model_copy(update=lacks)


def _earlier(record: Audit, entry: Attempt) -> float:
    """Hours that the attempts before one ran, which it may have gone on from; unknown without GPUs."""
    before = (each.outcome for each in record.attempts if each.attempt < entry.attempt)
    hours = (outcome.measured.gpu_hours for outcome in before if outcome is not None and outcome.measured is not None)
    return sum(hours) / max(1, record.estimated.gpus)


def _with_outcome(record: Audit, attempt: int, outcome: Outcome | None) -> Audit:
    def changed(entry: Attempt) -> Attempt:
        return entry.model_copy(update={"outcome": outcome}) if entry.attempt == attempt else entry

    return record.model_copy(update={"attempts": [changed(entry) for entry in record.attempts]})
