"""How a pod ended and why: the runner's own last words, what Kubernetes noted of the pod, or the exit code alone."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tools.causes import BY_EXIT_CODE, CAUSES, UNKNOWN
from tools.cluster import objects
from tools.cluster.client import Json

_LENGTH = 1500
# Reasons of the condition DisruptionTarget (Kubernetes: Disruptions, pod disruption conditions) -> cause
_DISRUPTIONS = {
    "DeletionByTaintManager": "lost-node",
    "DeletionByPodGC": "lost-node",
    "EvictionByEvictionAPI": "drained",
    "PreemptionByScheduler": "drained",
    "TerminationByKubelet": "drained",
}
_LOCAL_DISK = ("ephemeral", "emptydir", "inodes", "disk")


@dataclass(frozen=True, slots=True)
class End:
    """Why a container ended. code: of `tools.causes.CAUSES`. cause: in words, empty where the code says all."""

    code: str
    exit_code: int | None
    cause: str = ""
    remedy: str = ""

    @property
    def words(self) -> str:
        """`exit code 4: out of memory`, with what the runner said of it."""
        what = CAUSES[self.code].what
        head = what if self.exit_code is None else f"exit code {self.exit_code}: {what}"
        return f"{head} ({self.cause})" if self.cause and self.cause != what else head


def end_of(pod: Json) -> End | None:
    """How a pod's container ended; None while it runs."""
    disrupted = _disruption(pod)
    ended = terminated(pod)
    if disrupted is not None and (ended is None or ended.get("exitCode") != 0):
        return _known(disrupted, _code(ended), str(objects.at(pod, "status", "message") or ""))
    if ended is None:
        return None
    if (told := _told(ended)) is not None:
        return told
    code = _code(ended)
    if ended.get("reason") == "OOMKilled":
        return _known("killed-by-memory-limit", code)
    return _known(BY_EXIT_CODE.get(code if code is not None else 1, UNKNOWN), code)


def terminated(pod: Json) -> Json | None:
    """Kubernetes' record of the end of a pod's container; None while it runs."""
    for status in objects.at(pod, "status", "containerStatuses") or []:
        for state in ("state", "lastState"):
            if (found := objects.at(status, state, "terminated")) is not None:
                return dict(found)
    return None


def node_is_lost(pod: Json, events: list[Json]) -> bool:
    """Whether the node of a pod that is not over does not answer any more.

    events: those about the pod. The node controller marks such a pod not ready and says NodeNotReady; after five minutes the
    taint manager deletes it, which nobody on the node hears.
    """
    if _disruption(pod) == "lost-node" and objects.at(pod, "status", "phase") == "Running":
        return True
    ready = objects.any_condition(pod, "Ready") or {}
    return ready.get("status") == "False" and any(event.get("reason") == "NodeNotReady" for event in events)


def _disruption(pod: Json) -> str | None:
    if objects.at(pod, "status", "reason") == "Evicted":
        message = str(objects.at(pod, "status", "message") or "").lower()
        return "killed-by-quota" if any(word in message for word in _LOCAL_DISK) else "drained"
    found = objects.condition(pod, "DisruptionTarget")
    return _DISRUPTIONS.get(str(found.get("reason")), "drained") if found is not None else None


def _told(ended: Json) -> End | None:
    """The runner's termination message (runner/failures.py)."""
    try:
        told = json.loads(ended.get("message") or "")
        code, cause, remedy = (str(told[name])[:_LENGTH] for name in ("code", "cause", "remedy"))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return End(code if code in CAUSES else UNKNOWN, _code(ended), " ".join(cause.split()), " ".join(remedy.split()))


def _known(code: str, exit_code: int | None, cause: str = "") -> End:
    return End(code, exit_code, " ".join(cause.split())[:_LENGTH], CAUSES[code].remedy)


def _code(ended: Json | None) -> int | None:
    code = (ended or {}).get("exitCode")
    return int(code) if code is not None else None
