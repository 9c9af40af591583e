"""A look at runs as plain data: what `--format json` prints and what the text is made of."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tools.cluster import exits, objects, waiting
from tools.cluster.client import Json
from tools.cluster.look import Look, Status
from tools.cluster.observed import Observed, last_seen

_EVENTS = 3
# Events of type Normal that say nothing that the phase does not say.
_NEWS = ("Warning",)
_CONDITIONS = ("QuotaReserved", "Admitted", "Evicted", "PodsReady", "Finished")


def data(look: Look) -> dict[str, Any]:
    """Everything, for machines. Keys are stable; a part that is not there is null."""
    return {
        "cluster": {"context": look.context, "server": look.server, "unreachable": look.unreachable},
        "notes": look.notes,
        "runs": [run(status) for status in look.statuses],
    }


def run(status: Status) -> dict[str, Any]:
    """One run."""
    seen, lock = status.seen, status.seen.run.lock
    return {
        "run_id": lock.run_id if lock else None,
        "tenant": seen.run.tenant,
        "experiment": seen.run.experiment,
        "environment": seen.run.environment,
        "namespace": seen.run.namespace,
        "phase": status.verdict.phase,
        "reason": status.verdict.reason,
        "remedy": status.verdict.remedy,
        "cause": status.verdict.cause or None,
        "git": {
            "overlay": seen.run.overlay,
            "attempt": lock.attempt if lock else None,
            "state": seen.run.state,
            "approvers": lock.authorized.approvers if lock and lock.authorized else [],
            "merge_request": lock.authorized.merge_request if lock and lock.authorized else None,
        },
        "application": application(seen),
        "job": job(seen.job),
        "pods": [pod(item) for item in seen.pods],
        "workload": workload(seen),
        "hook": job(seen.hook),
        "hook_pods": [pod(item) for item in seen.hook_pods],
        "events": events(seen),
        "mlflow": asdict(seen.tracked) if seen.tracked else None,
    }


def application(seen: Observed) -> dict[str, Any] | None:
    """Argo CD's part."""
    item = seen.application
    if item is None:
        return None
    return {
        "name": objects.name(item),
        "sync": objects.at(item, "status", "sync", "status"),
        "revision": objects.at(item, "status", "sync", "revision"),
        "health": objects.at(item, "status", "health", "status"),
        "operation": objects.at(item, "status", "operationState", "phase"),
        "message": objects.at(item, "status", "operationState", "message"),
        "deleting": objects.at(item, "metadata", "deletionTimestamp") is not None,
    }


def job(item: Json | None) -> dict[str, Any] | None:
    """A Job's counts and conditions."""
    if item is None:
        return None
    return {
        "name": objects.name(item),
        "active": int(objects.at(item, "status", "active") or 0),
        "succeeded": int(objects.at(item, "status", "succeeded") or 0),
        "failed": int(objects.at(item, "status", "failed") or 0),
        "suspended": bool(objects.at(item, "spec", "suspend")),
        "started": objects.at(item, "status", "startTime"),
        "completed": objects.at(item, "status", "completionTime"),
        "conditions": [_condition(entry) for entry in objects.at(item, "status", "conditions") or []],
    }


def pod(item: Json) -> dict[str, Any]:
    """One pod."""
    statuses = objects.at(item, "status", "containerStatuses") or []
    return {
        "name": objects.name(item),
        "phase": objects.at(item, "status", "phase"),
        "node": objects.at(item, "spec", "nodeName"),
        "waiting": next((reason for entry in statuses if (reason := _waiting(entry))), None),
        "exit_code": waiting.exit_code(item),
        "cause": end.code if (end := exits.end_of(item)) is not None and end.exit_code != 0 else None,
        "restarts": sum(int(entry.get("restartCount") or 0) for entry in statuses),
        "deleting": objects.at(item, "metadata", "deletionTimestamp") is not None,
    }


def workload(seen: Observed) -> dict[str, Any] | None:
    """Kueue's part."""
    item = seen.workload
    if item is None:
        return None
    conditions = objects.at(item, "status", "conditions") or []
    return {
        "name": objects.name(item),
        "queue": objects.at(item, "spec", "queueName"),
        "position": seen.place.position if seen.place else None,
        "waiting": seen.place.length if seen.place else None,
        "position_from": ("kueue" if seen.place.exact else "counted") if seen.place else None,
        "conditions": [_condition(entry) for entry in conditions if entry.get("type") in _CONDITIONS],
    }


def events(seen: Observed) -> list[dict[str, Any]]:
    """The newest warnings, newest last; of what repeats itself the last."""
    kinds = {
        (objects.at(event, "involvedObject", "uid"), event.get("reason")): event
        for event in seen.events
        if event.get("type") in _NEWS
    }
    news = sorted(kinds.values(), key=last_seen)[-_EVENTS:]
    return [
        {
            "time": last_seen(event),
            "reason": event.get("reason"),
            "object": f"{objects.at(event, 'involvedObject', 'kind')}/{objects.at(event, 'involvedObject', 'name')}",
            "message": event.get("message"),
            "count": int(objects.at(event, "series", "count") or event.get("count") or 1),
        }
        for event in news
    ]


def _condition(entry: Json) -> dict[str, Any]:
    return {key: entry.get(key) for key in ("type", "status", "reason", "message", "lastTransitionTime")}


def _waiting(status: Json) -> str | None:
    reason = objects.at(status, "state", "waiting", "reason")
    return str(reason) if reason else None
