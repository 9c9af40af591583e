"""The end of a failed pod's log, and the cause that the runner names in it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tools.causes import CAUSES
from tools.cluster import objects
from tools.cluster.client import Cluster
from tools.cluster.faults import ClusterFault
from tools.cluster.observed import Observed

_LINES = 40
# Kubernetes cuts the end off, not the beginning: far more than 40 lines of any sensible length.
_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Tail:
    """The last lines of a pod's log. cause, remedy, code: the runner's own, from its event `failure`; empty without one."""

    pod: str
    lines: tuple[str, ...]
    cause: str = ""
    remedy: str = ""
    code: str = ""


def tail(cluster: Cluster, seen: Observed) -> Tail | None:
    """Of the pod that ended last: the publish Job's where that one failed, else the training Job's. None where it is gone."""
    pods = seen.hook_pods if objects.condition(seen.hook, "Failed") else seen.pods
    if not pods:
        return None
    name = objects.name(pods[-1])
    try:
        lines = _lines(cluster, seen, name)
    except ClusterFault as fault:
        return Tail(name, (f"(the log cannot be read: {fault})",))
    for event in reversed(_events(lines)):
        if event.get("event") == "failure":
            code = str(event.get("code") or "")
            words = str(event.get("cause") or ""), str(event.get("remedy") or "")
            return Tail(name, lines, *words, code if code in CAUSES else "")
    return Tail(name, lines)


def published(cluster: Cluster, seen: Observed) -> frozenset[str]:
    """Steps of publishing that its pod says are done: merge, evaluate, register; none where its log cannot be read."""
    if not seen.hook_pods:
        return frozenset()
    try:
        events = _events(_lines(cluster, seen, objects.name(seen.hook_pods[-1])))
    except ClusterFault:
        return frozenset()
    return frozenset(str(event.get("name")) for event in events if event.get("event") == "step")


def _lines(cluster: Cluster, seen: Observed, pod: str) -> tuple[str, ...]:
    where = f"/api/v1/namespaces/{seen.run.namespace}/pods/{pod}/log"
    text = cluster.text(where, tailLines=str(_LINES), limitBytes=str(_BYTES))
    return tuple(text.splitlines()[-_LINES:])


def _events(lines: tuple[str, ...]) -> list[dict[str, Any]]:
    """The runner's own lines among them (runner/events.py)."""
    found = []
    for line in lines:
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict):
            found.append(event)
    return found
