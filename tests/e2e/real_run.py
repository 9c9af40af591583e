"""One training in real containers: its pods as the kubelet leaves them, and what becomes of the node below them."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any

from tests.e2e import node
from tests.e2e.cluster import Manifest
from tests.e2e.processes import wait_for
from tests.e2e.real_site import Site
from tests.e2e.scenario import Experiment
from tools.cli import main as ft

PATIENCE = 900  # seconds for a Job on a busy machine
_NOWHERE = "http://127.0.0.1:9"  # `ft status` is asked what the cluster says
_OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"


@dataclass(frozen=True)
class RealRun:
    """An experiment on a site with a real node."""

    site: Site
    experiment: Experiment

    def running(self, job: str) -> Manifest:
        """Wait until a pod of a Job has a running container, and return it."""

        def look() -> Manifest | None:
            pod = self.pod(job)
            return pod if pod and "running" in _state(pod) else None

        self.experiment.started(job)
        return wait_for(look, f"a running pod of {job}", PATIENCE)

    def pod(self, job: str) -> Manifest | None:
        """A pod of the Job whose container has not ended, if there is one."""
        pods = self.site.cluster.list("Pod", self.experiment.namespace, f"batch.kubernetes.io/job-name={job}")
        alive = [pod for pod in pods if "terminated" not in _state(pod) and "deletionTimestamp" not in pod["metadata"]]
        return alive[0] if alive else None

    def saved(self, pod: Manifest, step: int) -> None:
        """Wait until a running pod's run has a checkpoint of this step or a later one."""
        folder = self.site.storage / "output" / "checkpoints" / self.experiment.run_id

        def look() -> bool:
            steps = [int(each.name.rpartition("-")[2]) for each in folder.glob("checkpoint-*")]
            return max(steps, default=0) >= step or self._over(pod) is not None

        wait_for(look, f"checkpoint {step}", PATIENCE)

    def ended(self, pod: Manifest) -> Manifest:
        """Wait until a pod's container has ended, and return the pod."""
        return wait_for(lambda: self._over(pod), f"the end of {pod['metadata']['name']}", PATIENCE)

    def succeeds(self, pod: Manifest) -> None:
        """Wait until a pod has ended, and it must have ended well."""
        assert exit_code(self.ended(pod)) == 0, self.site.containers.log(pod)[-6000:]

    def drained(self, pod: Manifest) -> Manifest:
        """Drain its node with kubectl, and return the pod at its end; the node takes no other pod then."""
        options = ["--ignore-daemonsets", "--delete-emptydir-data", "--timeout=10m"]
        kubectl = [*self.site.kubectl, "drain", node.NAME, *options]
        with subprocess.Popen(kubectl, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as drain:
            ended = self.ended(pod)
            said, _ = drain.communicate(timeout=PATIENCE)
        assert drain.returncode == 0, said
        return ended

    def uncordon(self) -> None:
        """The drained node takes pods again."""
        subprocess.run([*self.site.kubectl, "uncordon", node.NAME], check=True, capture_output=True)

    def gone(self, pod: Manifest) -> bool:
        """Whether a pod is no longer there."""
        meta = pod["metadata"]
        found = self.site.cluster.get("Pod", meta["name"], meta["namespace"])
        return found is None or found["metadata"]["uid"] != meta["uid"]

    @contextmanager
    def out_of_service(self) -> Iterator[None]:
        """What an administrator says of a node that is off for certain; in the end it is back and in service."""
        taint = [*self.site.kubectl, "taint", "nodes", node.NAME]
        subprocess.run([*taint, f"{_OUT_OF_SERVICE}=lost:NoExecute"], check=True, capture_output=True)
        yield
        self.site.node.come_back()
        subprocess.run([*taint, f"{_OUT_OF_SERVICE}-"], check=True, capture_output=True)

    def status(self) -> dict[str, Any]:
        """The run in `ft status --format json`."""
        told, site = io.StringIO(), self.site
        where = ["--repo", str(site.repository.work), "--kubeconfig", str(site.cluster.kubeconfig)]
        target = f"{self.experiment.tenant}/{self.experiment.name}"
        with redirect_stdout(told):
            ft(["status", target, *where, "--tracking-uri", _NOWHERE, "--format", "json"])
        (run,) = json.loads(told.getvalue())["runs"]
        return dict(run)

    def becomes(self, cause: str) -> dict[str, Any]:
        """Wait until `ft status` names a cause, and return what it says."""
        last: dict[str, Any] = {}

        def look() -> bool:
            last.update(self.status())
            return bool(last["cause"] == cause)

        try:
            wait_for(look, f"cause {cause}", PATIENCE)
        except AssertionError as late:
            raise AssertionError(f"{late}; it is {last}") from late
        return last

    def _over(self, pod: Manifest) -> Manifest | None:
        """The pod once its container has ended."""
        now = self.site.cluster.get("Pod", pod["metadata"]["name"], pod["metadata"]["namespace"])
        assert now is not None, f"{pod['metadata']['name']} is gone, and nobody saw it end"
        return now if "terminated" in _state(now) else None


def exit_code(pod: Manifest) -> int:
    """Of a pod's only container, which has ended."""
    return int(_state(pod)["terminated"]["exitCode"])


def events(log: str) -> list[dict[str, Any]]:
    """The runner's JSON lines in a container's log, whose every line begins with time, stream and F."""
    lines = [line.split(" ", 3)[3] for line in log.splitlines() if line.count(" ") >= 3]
    return [json.loads(line) for line in lines if line.startswith('{"event"')]


def _state(pod: Manifest) -> dict[str, Any]:
    """State of a pod's only container: `waiting`, `running` or `terminated`; empty before the kubelet has seen it."""
    states = [each["state"] for each in pod["status"].get("containerStatuses", [])]
    return states[0] if states else {}
