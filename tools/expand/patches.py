"""The two Jobs of a run as JSON patches (RFC 6902) over base/training/v1: what equals the base is left out.

JSON patches because kustomize then needs no schema of Kubernetes: a strategic merge patch makes each of its processes
parse one, which costs as much as building ten overlays. A `test` stands before what goes by a place in a list, so that a
base with another order fails to build instead of changing the wrong thing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tools.expand import sizing
from tools.formats.lock import Lock, LockedRun

# Names in the base; every overlay puts its run id before them.
TRAINING = "a1"
PUBLISH = "publish"
BASE_ID = 10001
BASE_NODE_SELECTOR = {"nvidia.com/gpu": "true"}
BASE_PRIORITY = "normal"
# Volumes that come from claims: their place in the pod's list, and the claim in the base, which has the volume's name.
CLAIMS = {"base-models": 1, "storage": 2}
PRIORITY_CLASS = "finetuning-{}"
# Kueue's limit stands beside the runner's own, for a runner that hangs; the runner needs time to save and leave first.
QUEUE = "finetuning"
_LEAVE_SECONDS = 1800
LOCAL_CONFIG = "config.kubernetes.io~1local-config"
_POD = "/spec/template/spec"
_RUNNER = f"{_POD}/containers/0"

Operation = dict[str, Any]


def training(lock: Lock) -> list[Operation]:
    """What differs in the training Job; empty when it equals the base."""
    run = lock.run
    operations = [*_attempt(lock), *_queue(run), *_placement(run), *_identity(run), *_claims(run)]
    if run.priority != BASE_PRIORITY:
        operations.append(_replace(f"{_POD}/priorityClassName", PRIORITY_CLASS.format(run.priority)))
    if run.resources.gpus != 1:
        operations.append(_replace(f"{_RUNNER}/resources", sizing.training(run.resources.gpus)))
    return operations


def publish(lock: Lock) -> list[Operation]:
    """What differs in the publish Job of a run that publishes; empty when it equals the base."""
    run = lock.run
    operations = [*_identity(run), *_claims(run)]
    memory = sizing.publish_memory_gib(run)
    if memory != sizing.PUBLISH_MEMORY_GIB:
        operations += [_replace(f"{_RUNNER}/resources/{kind}/memory", f"{memory}Gi") for kind in ("requests", "limits")]
    deadline = sizing.publish_deadline_seconds(run)
    if deadline != sizing.PUBLISH_DEADLINE_SECONDS:
        operations.append(_replace("/spec/activeDeadlineSeconds", deadline))
    return operations


def no_publish() -> list[Operation]:
    """What takes the publish Job away: kustomize leaves objects with this annotation out of what it builds."""
    return [{"op": "add", "path": f"/metadata/annotations/{LOCAL_CONFIG}", "value": "true"}]


def _replace(path: str, value: Any) -> Operation:
    return {"op": "replace", "path": path, "value": value}


def _attempt(lock: Lock) -> Iterator[Operation]:
    name = f"a{lock.attempt}"
    if name != TRAINING:
        yield _replace("/metadata/name", name)


def _placement(run: LockedRun) -> Iterator[Operation]:
    if run.resources.gpus == 0:
        yield from ({"op": "remove", "path": f"{_POD}/{key}"} for key in ("nodeSelector", "tolerations"))
    elif run.node_selector and run.node_selector != BASE_NODE_SELECTOR:
        yield _replace(f"{_POD}/nodeSelector", dict(sorted(run.node_selector.items())))


def _identity(run: LockedRun) -> Iterator[Operation]:
    ids = {"runAsUser": run.uid, "runAsGroup": run.gid, "fsGroup": run.gid}
    for key, number in ids.items():
        if number != BASE_ID:
            yield _replace(f"{_POD}/securityContext/{key}", number)


def _claims(run: LockedRun) -> Iterator[Operation]:
    claims = {"base-models": run.storage.base_models_claim, "storage": run.storage.claim}
    for volume, claim in claims.items():
        if claim != volume:
            place = f"{_POD}/volumes/{CLAIMS[volume]}"
            yield {"op": "test", "path": f"{place}/name", "value": volume}
            yield _replace(f"{place}/persistentVolumeClaim/claimName", claim)


def _queue(run: LockedRun) -> Iterator[Operation]:
    """Labels for Kueue, which read `/` as `~1` in a path."""
    if run.kueue:
        labels = {
            "queue-name": QUEUE,
            "priority-class": run.priority,
            "max-exec-time-seconds": str(run.resources.time_limit_seconds + _LEAVE_SECONDS),
        }
        for name, value in labels.items():
            yield {"op": "add", "path": f"/metadata/labels/kueue.x-k8s.io~1{name}", "value": value}
