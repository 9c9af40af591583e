"""What a run really took: GPU-hours from the cluster's own record of its pods, the rest from what the runner logged (`told`).

Hours count against a quota, so they come from Kubernetes alone: the tenant's own credential can write to MLflow. Pods that the
platform took away (a drained node, an eviction by Kueue) and that are gone are not the run's use and do not count.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from tools.bot.upkeep.told import Told
from tools.cluster import objects
from tools.cluster.client import Json
from tools.cluster.observed import Observed
from tools.formats.audit import Measured
from tools.plan.hours import HOUR

HOURS_DIGITS = 4


def measured(seen: Observed, told: Told) -> Measured | None:
    """Hours of the attempt's pods times their GPUs; of the Job where no pod is left; None where nothing says when it ran.

    An evaluation's GPU counts as well, from the publish Job's start to its end.
    """
    held = _held(seen)
    if held is None:
        return None
    hours, gpus = held
    return Measured(
        gpu_hours=round(hours * gpus + _evaluating(seen), HOURS_DIGITS),
        peak_memory_bytes=told.peak_memory_bytes,
        idle_share=told.idle_share,
        tokens=told.tokens,
        training_hours=told.training_hours,
    )


def pod_hours(seen: Observed) -> float | None:
    """Hours that the attempt's pods ran, added up; None where nothing says so."""
    held = _held(seen)
    return None if held is None else held[0]


def _held(seen: Observed) -> tuple[float, int] | None:
    """Hours, and the GPUs that were held in each."""
    lock = seen.run.lock
    assert lock is not None
    end = _ended(seen.job)
    # A restarted gang's earlier pods are gone: then it counts from its beginning, waiting included.
    restarted = lock.run.resources.nodes > 1 and objects.at(seen.job, "status", "failed")
    spans = [] if restarted else [span for pod in seen.pods if (span := _span(pod, end)) is not None]
    gpus = lock.run.resources.gpus
    if not spans:
        start = moment(objects.at(seen.job, "status", "startTime"))
        if start is None or end is None:
            return None
        spans, gpus = [_seconds(start, end)], gpus * lock.run.resources.nodes
    return sum(spans) / HOUR, gpus


def _evaluating(seen: Observed) -> float:
    """GPU-hours of the publish Job, which holds one GPU where a run that trained on GPUs is evaluated."""
    assert seen.run.lock is not None
    run = seen.run.lock.run
    if run.evaluation is None or not run.resources.gpus:
        return 0.0
    end = _ended(seen.hook)
    spans = [span for pod in seen.hook_pods if (span := _span(pod, end)) is not None]
    start = moment(objects.at(seen.hook, "status", "startTime"))
    if not spans and start is not None and end is not None:
        spans = [_seconds(start, end)]
    return sum(spans) / HOUR


def moment(text: object) -> datetime | None:
    """A time as Kubernetes writes it."""
    try:
        return datetime.fromisoformat(str(text)) if text else None
    except ValueError:
        return None


def last(times: Iterable[datetime | None]) -> datetime | None:
    """The latest of those that are known."""
    return max((time for time in times if time is not None), default=None)


def _ended(job: Json | None) -> datetime | None:
    """When the Job was over."""
    over = objects.condition(job, "Complete") or objects.condition(job, "Failed") or {}
    return moment(objects.at(job, "status", "completionTime")) or moment(over.get("lastTransitionTime"))


def _span(pod: Json, job_end: datetime | None) -> float | None:
    """Seconds from the moment that the node took the pod, and with it its GPUs, to its end."""
    start = moment(objects.at(pod, "status", "startTime"))
    statuses = objects.at(pod, "status", "containerStatuses") or []
    ends = [moment(objects.at(entry, "state", "terminated", "finishedAt")) for entry in statuses]
    end = last(ends) or moment(objects.at(pod, "metadata", "deletionTimestamp")) or job_end
    return None if start is None or end is None else _seconds(start, end)


def _seconds(start: datetime, end: datetime) -> float:
    return max(0.0, (end - start).total_seconds())
