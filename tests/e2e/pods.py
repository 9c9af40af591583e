"""Pods finished without a node: the tests write into a pod's status what a kubelet would.

The Job controller, Argo CD and Kueue see pods through the API alone, so to them the run is real; what happens inside
containers is another tier's matter.
"""

from __future__ import annotations

from tests.e2e.cluster import Cluster, Manifest
from tests.e2e.processes import wait_for

_FINISHED = {"Succeeded", "Failed"}


def of(cluster: Cluster, namespace: str, job: str) -> list[Manifest]:
    """Pods of a Job that have not finished and are not being deleted."""
    found = cluster.list("Pod", namespace, f"batch.kubernetes.io/job-name={job}")
    return [
        pod
        for pod in found
        if pod["status"].get("phase") not in _FINISHED and "deletionTimestamp" not in pod["metadata"]
    ]


def run(cluster: Cluster, namespace: str, job: str) -> Manifest:
    """Wait for the Job's pod, let it run and return it."""
    pod = wait_for(lambda: of(cluster, namespace, job), f"a pod of {job}")[0]
    _set(cluster, pod, "Running", {"running": {"startedAt": pod["metadata"]["creationTimestamp"]}})
    return pod


def start(cluster: Cluster, *found: Manifest) -> None:
    """Let these pods run."""
    for pod in found:
        _set(cluster, pod, "Running", {"running": {"startedAt": pod["metadata"]["creationTimestamp"]}})


def disrupt(cluster: Cluster, pod: Manifest) -> None:
    """Let a pod end as one that was evicted from a drained node: saved, exit code 75."""
    end(cluster, pod, 75, {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"})


def finish(cluster: Cluster, namespace: str, job: str, exit_code: int = 0) -> None:
    """Wait for the Job's pod and let its container end with an exit code."""
    end(cluster, wait_for(lambda: of(cluster, namespace, job), f"a pod of {job}")[0], exit_code)


def end(cluster: Cluster, pod: Manifest, exit_code: int = 0, *conditions: Manifest) -> None:
    """Let a pod's container end with an exit code."""
    when = pod["metadata"]["creationTimestamp"]
    terminated = {"exitCode": exit_code, "startedAt": when, "finishedAt": when}
    _set(cluster, pod, "Failed" if exit_code else "Succeeded", {"terminated": terminated}, *conditions)


def _set(cluster: Cluster, pod: Manifest, phase: str, state: Manifest, *conditions: Manifest) -> None:
    runs = phase == "Running"
    containers = [
        {
            "name": container["name"],
            "image": container["image"],
            "imageID": container["image"],
            "restartCount": 0,
            "ready": runs,
            "started": runs,
            "state": state,
        }
        for container in pod["spec"]["containers"]
    ]
    ready = {"type": "Ready", "status": str(runs)}
    status = {"phase": phase, "conditions": [ready, *conditions], "containerStatuses": containers}
    meta = pod["metadata"]
    cluster.patch("Pod", meta["name"], meta["namespace"], {"status": status}, status=True)
