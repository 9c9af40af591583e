"""Kueue's side of a waiting Job: its Workload, and its place in the queue."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tools.cluster import objects
from tools.cluster.client import Cluster, Json
from tools.cluster.faults import ClusterFault, Missing, Refused

GROUP = "/apis/kueue.x-k8s.io"
VISIBILITY = "/apis/visibility.kueue.x-k8s.io"
_OVER = ("QuotaReserved", "Finished")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a Workload stands: `position` of `length` in its LocalQueue, the first being 1.

    exact: Kueue's visibility API says so; otherwise it is counted by priority and age, as Kueue's own order is.
    """

    position: int
    length: int
    exact: bool


def version(cluster: Cluster) -> str | None:
    """The API version that the cluster's Kueue prefers; None without Kueue."""
    try:
        return str(cluster.get(GROUP)["preferredVersion"]["version"])
    except (Missing, Refused, KeyError):
        return None


def places(cluster: Cluster, namespace: str, workloads: list[Json]) -> dict[str, Place]:
    """The place of each Workload that waits, by its name."""
    waiting = [item for item in workloads if pending(item)]
    found: dict[str, Place] = {}
    for queue in sorted({queue_of(item) for item in waiting}):
        same = [item for item in waiting if queue_of(item) == queue]
        found |= _visible(cluster, namespace, queue) or counted(same)
    return found


def pending(workload: Json) -> bool:
    """Whether it waits for quota."""
    over = any(objects.condition(workload, kind) for kind in _OVER)
    return not over and objects.at(workload, "spec", "active") is not False


def queue_of(workload: Json) -> str:
    """Name of its LocalQueue."""
    return str(objects.at(workload, "spec", "queueName") or "")


def counted(workloads: Iterable[Json]) -> dict[str, Place]:
    """Places by priority, then age: the order of Kueue's queues; an evicted Workload counts from its eviction."""
    ordered = sorted(workloads, key=lambda item: (-int(objects.at(item, "spec", "priority") or 0), _since(item)))
    return {objects.name(item): Place(index, len(ordered), exact=False) for index, item in enumerate(ordered, 1)}


def _since(workload: Json) -> str:
    evicted = objects.condition(workload, "Evicted")
    return str((evicted or {}).get("lastTransitionTime") or objects.created(workload))


def _visible(cluster: Cluster, namespace: str, queue: str) -> dict[str, Place]:
    """The visibility API's answer; empty where the cluster does not serve it or a tenant may not ask."""
    try:
        chosen = cluster.get(VISIBILITY)["preferredVersion"]["version"]
        path = f"{VISIBILITY}/{chosen}/namespaces/{namespace}/localqueues/{queue}/pendingworkloads"
        items = cluster.get(path).get("items") or []
    except (ClusterFault, KeyError):
        return {}
    return {
        objects.name(item): Place(int(item.get("positionInLocalQueue") or 0) + 1, len(items), exact=True)
        for item in items
    }
