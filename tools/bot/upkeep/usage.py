"""What a run really took: GPU-hours from the cluster's own record of its pods, peak memory from what the runner logged.

Hours count against a quota, so they come from Kubernetes alone: the tenant's own credential can write to MLflow. Pods that the
platform took away (a drained node, an eviction by Kueue) and that are gone are not the run's use and do not count.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from tools.cluster import objects
from tools.cluster.client import Json
from tools.cluster.observed import Observed
from tools.cluster.tracking import Tracked, Tracking
from tools.formats.audit import Measured
from tools.formats.lock import Lock
from tools.plan.memory import GIB

HOUR = 3600
_MEMORY = ("progress/gpu_memory_gib", "progress/memory_gib")  # runner/callback.py; the first is missing without a GPU
HOURS_DIGITS = 4


def measured(seen: Observed, peak_memory_bytes: int | None) -> Measured | None:
    """Hours of the attempt's pods times their GPUs; of the Job where no pod is left; None where nothing says when it ran."""
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
    return Measured(gpu_hours=round(sum(spans) / HOUR * gpus, HOURS_DIGITS), peak_memory_bytes=peak_memory_bytes)


def peak_memory(lock: Lock, tracked: Tracked | None, tracking_uri: str | None) -> int | None:
    """The highest memory that the runner logged, in bytes: of the GPU, of the process without one.

    Raises:
        Away: MLflow does not answer.
    """
    if tracked is None:
        return None
    server = Tracking(tracking_uri or lock.run.mlflow.tracking_uri)
    name = _MEMORY[0] if lock.run.resources.gpus else _MEMORY[1]
    values = [value for _, value in server.history(tracked.run_id, name) if value >= 0]
    return round(max(values) * GIB) if values else None


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
