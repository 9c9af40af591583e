"""What events missed, and what is to be asked of Argo CD about it. Pure: what was seen -> what to do.

A sync never trains again: the training Job is there already, or its completion.json ends a new one at once; only the publish
hook does what is left to do, and each of its steps is skipped when its result is valid.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from tools.bot.upkeep import usage
from tools.bot.upkeep.watching import Watched
from tools.cluster import objects, waiting
from tools.cluster.look import Status
from tools.formats.audit import Audit
from tools.formats.base import seconds
from tools.formats.environment import Environment

# A publication that failed is repeated at this pace, for faults such as an MLflow that was away, and not for ever.
AGAIN_AFTER = timedelta(minutes=30)
GIVE_UP_AFTER = timedelta(days=2)
# Exit codes that a repetition cannot change: bad spec, wrong hash, out of memory, time limit.
_FINAL = frozenset({2, 3, 4, 5})


@dataclass(frozen=True, slots=True)
class Repair:
    """One request to Argo CD, and why."""

    action: Literal["sync", "terminate"]
    tenant: str
    application: str
    why: str


def unpublished(runs: Sequence[Watched], now: datetime) -> Iterator[Repair]:
    """Runs that are trained and not published although nothing works on it."""
    for run in runs:
        publish = run.lock.run.publish
        if run.status is None or publish is None or not publish.merge:
            continue
        why = _unpublished(run, run.status, now)
        if why:
            yield Repair("sync", run.lock.run.tenant, run.application, f"{run.lock.run_id} {why}")


def _unpublished(run: Watched, status: Status, now: datetime) -> str:
    """Why a sync is needed; empty when it is not, or when it is not known."""
    seen = status.seen
    if not seen.seen or not objects.condition(seen.job, "Complete") or waiting.operation_runs(seen):
        return ""
    if seen.tracked is not None and seen.tracked.version is not None:
        return ""
    if seen.hook is None:
        return "is trained and nothing publishes it" if seen.may_read_applications else ""
    if (failed := objects.condition(seen.hook, "Failed")) is not None:
        return _failed(status, failed.get("lastTransitionTime"), now)
    if objects.condition(seen.hook, "Complete") and seen.tracked is not None and _never_registered(run):
        return "was published and is in no registry"
    return ""


def _failed(status: Status, at: object, now: datetime) -> str:
    codes = [code for pod in status.seen.hook_pods if (code := waiting.exit_code(pod)) is not None]
    failed_at = usage.moment(at)
    trained_at = usage.moment(objects.at(status.seen.job, "status", "completionTime")) or failed_at
    if failed_at is None or trained_at is None or (codes and codes[-1] in _FINAL):
        return ""
    if now - failed_at < AGAIN_AFTER or now - trained_at > GIVE_UP_AFTER:
        return ""
    return "is trained and its publication failed"


def _never_registered(run: Watched) -> bool:
    """A version that was there and is gone was removed by a person."""
    return all(entry.outcome is None or entry.outcome.registered is None for entry in run.record.attempts)


def cancelled(
    records: Sequence[Audit], overlays: frozenset[str], environment: Environment, now: datetime
) -> list[Repair]:
    """Runs whose overlay a cancellation removed and whose operation may still run, which blocks their deletion.

    overlays: `<tenant>/<name>` of those that are there: an Application of that name is another run's. Long ago cancelled
    ones are left alone: looking at each of them in each round would never end.
    """
    kept = timedelta(seconds=seconds(environment.keep_finished))
    found = []
    for record in records:
        ended = record.last.outcome
        at = usage.moment(ended.at) if ended is not None and ended.result == "cancelled" else None
        if at is None or now - at > kept or f"{record.tenant}/{record.experiment}" in overlays:
            continue
        name = f"{record.tenant}.{record.experiment}"
        found.append(Repair("terminate", record.tenant, name, f"{record.run_id} is cancelled and still runs"))
    return found
