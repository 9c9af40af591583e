"""A run on several nodes: its JobSet read as the Job that every other run has.

Sources: sigs.k8s.io/jobset v0.10.1, api/jobset/v1alpha2/jobset_types.go (conditions, restarts) and base/training/v1/nodes.
"""

from __future__ import annotations

from collections.abc import Sequence

from tools.cluster import objects
from tools.cluster.client import Json

API = "/apis/jobset.x-k8s.io/v1alpha2"
# The one Job of base/training/v1/nodes/jobset.yaml.
_JOB = "node-0"
_CONDITIONS = {"Completed": "Complete"}


def job_of(jobset: Json, jobs: Sequence[Json]) -> Json | None:
    """The JobSet's Job of this moment; a restart replaces it."""
    return next((job for job in jobs if objects.name(job) == f"{objects.name(jobset)}-{_JOB}"), None)


def as_job(jobset: Json, job: Json | None) -> Json:
    """The JobSet with a Job's status: its own conditions, one failure for each restart of all pods.

    The Job's own end decides nothing: the JobSet may start another one.
    """
    own = [
        {**entry, "type": _CONDITIONS.get(str(entry.get("type")), entry.get("type"))}
        for entry in objects.at(jobset, "status", "conditions") or []
    ]
    ended = next((entry for entry in own if entry["type"] == "Complete" and entry.get("status") == "True"), None)
    restarts = int(objects.at(jobset, "status", "restarts") or 0)
    inside = (job or {}).get("status") or {}
    started = inside.get("startTime") if not restarts else objects.at(jobset, "metadata", "creationTimestamp")
    status = {
        "conditions": own,
        "failed": restarts,
        "active": inside.get("active", 0),
        **({"succeeded": 1} if ended else {}),
        **({"startTime": started} if started else {}),
        **({"completionTime": ended.get("lastTransitionTime")} if ended else {}),
    }
    return {**jobset, "status": status}


def told_of(events: Sequence[Json], job: Json | None, jobset: Json) -> list[Json]:
    """The events about the JobSet's Job as events about the JobSet, and all others as they are."""
    inside, outside = objects.at(job, "metadata", "uid"), objects.at(jobset, "metadata", "uid")
    return [
        {**event, "involvedObject": {**event["involvedObject"], "uid": outside}}
        if inside and objects.at(event, "involvedObject", "uid") == inside
        else event
        for event in events
    ]
