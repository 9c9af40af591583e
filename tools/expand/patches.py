"""The two Jobs of a run as strategic merge patches over base/training/v1: what equals the base is left out.

None in a patch removes the base's value; `$patch: replace` replaces a mapping instead of merging it.
"""

from __future__ import annotations

from typing import Any

from tools.expand import sizing
from tools.formats.lock import Lock, LockedRun

# Names in the base; every overlay puts its run id before them.
TRAINING = "a1"
PUBLISH = "publish"
BASE_ID = 10001
BASE_STORAGE_CLAIM = "storage"
BASE_MODELS_CLAIM = "base-models"
BASE_NODE_SELECTOR = {"nvidia.com/gpu": "true"}
# Kueue's limit stands beside the runner's own, for a runner that hangs; the runner needs time to save and leave first.
QUEUE = "finetuning"
_LEAVE_SECONDS = 1800


def training(lock: Lock) -> dict[str, Any]:
    """The patch of the training Job; empty when it equals the base."""
    run = lock.run
    pod = {**_placement(run), **_identity(run)}
    if container := _container(resources=sizing.training(run.resources.gpus)):
        pod["containers"] = container
    return _job(TRAINING, pod | _volumes(run), name=f"a{lock.attempt}", labels=_queue(run))


def publish(lock: Lock) -> dict[str, Any]:
    """The patch of the publish Job; empty when it equals the base; a run without `publish` deletes it."""
    run = lock.run
    if run.publish is None:
        return {**_head(PUBLISH), "$patch": "delete"}
    pod = _identity(run)
    memory = sizing.publish_memory_gib(run)
    if memory != sizing.PUBLISH_MEMORY_GIB:
        amount = {"memory": f"{memory}Gi"}
        pod["containers"] = _container(resources={"requests": amount, "limits": amount})
    deadline = sizing.publish_deadline_seconds(run)
    spec = {} if deadline == sizing.PUBLISH_DEADLINE_SECONDS else {"activeDeadlineSeconds": deadline}
    return _job(PUBLISH, pod | _volumes(run), spec=spec)


def _head(name: str) -> dict[str, Any]:
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}}


def _job(
    base_name: str,
    pod: dict[str, Any],
    *,
    name: str | None = None,
    labels: dict[str, str] | None = None,
    spec: dict[str, Any] | None = None,
) -> dict[str, Any]:
    job = _head(name or base_name)
    if labels:
        job["metadata"]["labels"] = labels
    body = {**(spec or {}), **({"template": {"spec": pod}} if pod else {})}
    if body:
        job["spec"] = body
    return {} if job == _head(base_name) else job


def _placement(run: LockedRun) -> dict[str, Any]:
    if run.resources.gpus == 0:
        return {"nodeSelector": None, "tolerations": None}
    if run.node_selector and run.node_selector != BASE_NODE_SELECTOR:
        return {"nodeSelector": {"$patch": "replace", **dict(sorted(run.node_selector.items()))}}
    return {}


def _identity(run: LockedRun) -> dict[str, Any]:
    context: dict[str, Any] = {}
    if run.uid != BASE_ID:
        context["runAsUser"] = run.uid
    if run.gid != BASE_ID:
        context |= {"runAsGroup": run.gid, "fsGroup": run.gid}
    return {"securityContext": context} if context else {}


def _container(resources: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"name": "runner", "resources": resources}] if resources else []


def _volumes(run: LockedRun) -> dict[str, Any]:
    claims = (
        ("base-models", run.storage.base_models_claim, BASE_MODELS_CLAIM),
        ("storage", run.storage.claim, BASE_STORAGE_CLAIM),
    )
    changed = [
        {"name": volume, "persistentVolumeClaim": {"claimName": claim}}
        for volume, claim, base in claims
        if claim != base
    ]
    return {"volumes": changed} if changed else {}


def _queue(run: LockedRun) -> dict[str, str]:
    """Labels for Kueue; without Kueue no priority is set, as a pod that names a missing PriorityClass is rejected."""
    if not run.kueue:
        return {}
    return {
        "kueue.x-k8s.io/queue-name": QUEUE,
        "kueue.x-k8s.io/priority-class": run.priority,
        "kueue.x-k8s.io/max-exec-time-seconds": str(run.resources.time_limit_seconds + _LEAVE_SECONDS),
    }
