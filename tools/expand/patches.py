"""The two Jobs of a run as JSON patches (RFC 6902) over base/training/v1: what equals the base is left out.

On several nodes the training Job is the one that base/training/v1/nodes has inside its JobSet.

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
# The Job in the JobSet, and the nodes that it has there.
GANG_JOB = "/spec/replicatedJobs/0/template"
_GANG_NODES = 2

Operation = dict[str, Any]


def training(lock: Lock) -> list[Operation]:
    """What differs in the training Job; empty when it equals the base."""
    run = lock.run
    pod = f"{GANG_JOB}{_POD}" if is_gang(run) else _POD
    operations = [
        *_attempt(lock),
        *_queue(run, run.resources.time_limit_seconds),
        *_nodes(run),
        *_placement(run, pod),
        *_identity(run, pod),
    ]
    operations += [*_claims(run, pod), *_patience(run, pod)]
    if run.priority != BASE_PRIORITY:
        operations.append(_replace(f"{pod}/priorityClassName", PRIORITY_CLASS.format(run.priority)))
    if run.resources.gpus != 1:
        operations.append(_replace(f"{pod}/containers/0/resources", sizing.training(run.resources.gpus)))
    return operations


def is_gang(run: LockedRun) -> bool:
    """Whether pods on several nodes train together: a JobSet in place of the training Job."""
    return run.resources.nodes > 1


def publish(lock: Lock) -> list[Operation]:
    """What differs in the publish Job of a run that publishes; empty when it equals the base."""
    run = lock.run
    operations = [*_identity(run, _POD), *_claims(run, _POD)]
    memory = sizing.publish_memory_gib(run)
    if memory != sizing.PUBLISH_MEMORY_GIB:
        operations += [
            _replace(f"{_POD}/containers/0/resources/{kind}/memory", f"{memory}Gi") for kind in ("requests", "limits")
        ]
    deadline = sizing.publish_deadline_seconds(run)
    if deadline != sizing.PUBLISH_DEADLINE_SECONDS:
        operations.append(_replace("/spec/activeDeadlineSeconds", deadline))
    if run.evaluation is not None:
        operations += _evaluation(run, deadline)
    return operations


def _evaluation(run: LockedRun, deadline: int) -> Iterator[Operation]:
    """What scoring needs besides: the held-out data, a folder for the verdict and, where training had GPUs, one out of its queue."""
    runner = f"{_POD}/containers/0"
    data = {"name": "storage", "mountPath": "/storage/data", "subPath": "data", "readOnly": True}
    verdict = {"name": "storage", "mountPath": "/storage/evaluation", "subPath": "evaluation"}
    for mount in (data, verdict):
        yield {"op": "add", "path": f"{runner}/volumeMounts/-", "value": mount}
    if run.resources.gpus:
        for kind in ("requests", "limits"):
            yield {"op": "add", "path": f"{runner}/resources/{kind}/{sizing.GPU.replace('/', '~1')}", "value": "1"}
        nodes = dict(sorted((run.node_selector or BASE_NODE_SELECTOR).items()))
        yield {"op": "add", "path": f"{_POD}/nodeSelector", "value": nodes}
        tolerated = [{"key": sizing.GPU, "operator": "Exists", "effect": "NoSchedule"}]
        yield {"op": "add", "path": f"{_POD}/tolerations", "value": tolerated}
        yield from _queue(run, deadline)


def no_publish() -> list[Operation]:
    """What takes the publish Job away: kustomize leaves objects with this annotation out of what it builds."""
    return [{"op": "add", "path": f"/metadata/annotations/{LOCAL_CONFIG}", "value": "true"}]


def _replace(path: str, value: Any) -> Operation:
    return {"op": "replace", "path": path, "value": value}


def _attempt(lock: Lock) -> Iterator[Operation]:
    name = f"a{lock.attempt}"
    if name != TRAINING:
        yield _replace("/metadata/name", name)


def _nodes(run: LockedRun) -> Iterator[Operation]:
    if is_gang(run) and run.resources.nodes != _GANG_NODES:
        for key in ("completions", "parallelism"):
            yield _replace(f"{GANG_JOB}/spec/{key}", run.resources.nodes)


def _placement(run: LockedRun, pod: str) -> Iterator[Operation]:
    if run.resources.gpus == 0:
        yield from ({"op": "remove", "path": f"{pod}/{key}"} for key in ("nodeSelector", "tolerations"))
    elif run.node_selector and run.node_selector != BASE_NODE_SELECTOR:
        yield _replace(f"{pod}/nodeSelector", dict(sorted(run.node_selector.items())))


def _identity(run: LockedRun, pod: str) -> Iterator[Operation]:
    ids = {"runAsUser": run.uid, "runAsGroup": run.gid, "fsGroup": run.gid}
    for key, number in ids.items():
        if number != BASE_ID:
            yield _replace(f"{pod}/securityContext/{key}", number)


def _claims(run: LockedRun, pod: str) -> Iterator[Operation]:
    claims = {"base-models": run.storage.base_models_claim, "storage": run.storage.claim}
    for volume, claim in claims.items():
        if claim != volume:
            place = f"{pod}/volumes/{CLAIMS[volume]}"
            yield {"op": "test", "path": f"{place}/name", "value": volume}
            yield _replace(f"{place}/persistentVolumeClaim/claimName", claim)


def _patience(run: LockedRun, pod: str) -> Iterator[Operation]:
    """Variables that runner/settings.py reads."""
    if run.patience is None:
        return
    limits = {
        "RUNNER_STALL_SECONDS": run.patience.stall_seconds,
        "RUNNER_STORAGE_WAIT_SECONDS": run.patience.storage_wait_seconds,
    }
    for name, seconds in limits.items():
        if seconds is not None:
            variable = {"name": name, "value": str(seconds)}
            yield {"op": "add", "path": f"{pod}/containers/0/env/-", "value": variable}


def _queue(run: LockedRun, seconds: int) -> Iterator[Operation]:
    """Labels for Kueue, which read `/` as `~1` in a path. seconds: longest time of the Job by its own limit."""
    if run.kueue:
        labels = {
            "queue-name": QUEUE,
            "priority-class": run.priority,
            "max-exec-time-seconds": str(seconds + _LEAVE_SECONDS),
        }
        for name, value in labels.items():
            yield {"op": "add", "path": f"/metadata/labels/kueue.x-k8s.io~1{name}", "value": value}
