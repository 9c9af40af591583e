"""`ft status`, `ft watch` and `ft doctor cluster` on a real API server, with a real Argo CD and real controllers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e import platform_tree, pods
from tests.e2e.argocd import ArgoCD
from tests.e2e.cluster import Cluster, Manifest
from tests.e2e.processes import wait_for
from tests.e2e.repositories import Repository
from tests.e2e.samples import make
from tests.e2e.scenario import Experiment
from tools.cli import main

pytestmark = pytest.mark.e2e

NOWHERE = "http://127.0.0.1:9"  # no MLflow here; that is a note, never a failure


class Asking:
    """The commands, as a person at the test's repository and cluster calls them."""

    def __init__(self, repository: Repository, cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
        self._options = ["--repo", str(repository.work), "--kubeconfig", str(cluster.kubeconfig)]
        self._capsys = capsys
        self._capsys.readouterr()

    def status(self, experiment: Experiment) -> dict[str, Any]:
        """The run in `ft status --format json`, with the exit code."""
        self._capsys.readouterr()
        target = f"{experiment.tenant}/{experiment.name}"
        code = main(["status", target, *self._options, "--tracking-uri", NOWHERE, "--format", "json"])
        (run,) = json.loads(self._capsys.readouterr().out)["runs"]
        return {"code": code, **run}

    def phase(self, experiment: Experiment, phase: str) -> dict[str, Any]:
        """Wait until the run is in a phase and return what is said of it."""
        last: dict[str, Any] = {}

        def reached() -> bool:
            last.update(self.status(experiment))
            return bool(last["phase"] == phase)

        try:
            wait_for(reached, f"phase {phase} of {experiment.name}")
        except AssertionError as late:
            raise AssertionError(f"{late}; it is {last['phase']}: {last['reason']}; {last['application']}") from late
        return last

    def text(self, *arguments: str) -> tuple[int, str]:
        """Exit code and output of a command."""
        self._capsys.readouterr()
        code = main([*arguments, *self._options])
        return code, self._capsys.readouterr().out


@pytest.fixture
def asking(repository: Repository, cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> Asking:
    """The commands against this session's cluster."""
    return Asking(repository, cluster, capsys)


def test_a_run_is_followed_from_commit_to_end(experiment: Experiment, asking: Asking) -> None:
    """Each phase shows in its turn, with Argo CD's, the Job's and the scheduler's own words."""
    experiment.authorize()
    waiting = asking.phase(experiment, "waiting-for-argo")
    assert f"no Application {experiment.application} yet" in waiting["reason"]
    experiment.push("authorize")
    pending = asking.phase(experiment, "pending")
    assert "no nodes available" in wait_for(lambda: _scheduling(asking, experiment), "the scheduler's word")
    assert pending["application"]["name"] == experiment.application
    pods.run(experiment.cluster, experiment.namespace, experiment.training)
    running = asking.phase(experiment, "running")
    assert running["job"]["active"] == 1
    assert running["application"]["operation"] == "Running"
    experiment.completed(experiment.training)
    experiment.started(experiment.publishing)
    assert asking.phase(experiment, "publishing")["hook"]["name"] == experiment.publishing
    experiment.completed(experiment.publishing)
    finished = asking.phase(experiment, "finished")
    assert (finished["code"], finished["job"]["succeeded"], finished["hook"]["succeeded"]) == (0, 1, 1)


def _scheduling(asking: Asking, experiment: Experiment) -> str:
    reason: str = asking.status(experiment)["reason"]
    return reason if "no node can take the pod" in reason else ""


@pytest.fixture
def one_pod(cluster: Cluster) -> Iterator[None]:
    """Team A may have one pod at a time."""
    name, namespace = "one-pod", "team-a-training"
    metadata = {"name": name, "namespace": namespace}
    cluster.create({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": {"pods": "1"}}})
    wait_for(lambda: _counts(cluster.get("ResourceQuota", name, namespace)), "the quota's first count")
    yield
    cluster.delete("ResourceQuota", name, namespace)


def _counts(quota: Manifest | None) -> bool:
    return "pods" in ((quota or {}).get("status") or {}).get("used", {})


@pytest.mark.usefixtures("one_pod")
def test_an_exhausted_quota_is_named_and_the_run_starts_by_itself(
    make: Callable[[str, str], Experiment], asking: Asking
) -> None:
    """The second run of a tenant waits with the quota's own figures, and goes on when the first one is gone."""
    first, second = make("team-a", "quota-first"), make("team-a", "quota-second")
    first.commit()
    asking.phase(first, "pending")
    second.commit()
    queued = asking.phase(second, "queued")
    assert "quota one-pod is used up (pods: asks for 1, 1 of 1 in use)" in queued["reason"]
    assert "starts by itself" in queued["remedy"]
    assert any(event["reason"] == "FailedCreate" and "exceeded quota" in event["message"] for event in queued["events"])
    _, text = asking.text("status", "team-a", "--tracking-uri", NOWHERE)
    assert "pods: asks for 1, 1 of 1 in use" in text
    first.cancelled()
    asking.phase(second, "pending")


def test_a_failed_run_says_why_and_what_next(experiment: Experiment, asking: Asking) -> None:
    """The exit code of the pod becomes words, and the command ends with 1."""
    experiment.commit()
    experiment.started(experiment.training)
    pods.finish(experiment.cluster, experiment.namespace, experiment.training, exit_code=4)
    failed = asking.phase(experiment, "failed")
    assert "exit code 4: out of memory" in failed["reason"]
    assert "ft plan" in failed["remedy"]
    assert failed["code"] == 1
    code, text = asking.text("watch", f"{experiment.tenant}/{experiment.name}", "--tracking-uri", NOWHERE)
    assert code == 1
    assert "failed; training failed: PodFailurePolicy" in text
    # Argo CD notices a little later and then tries the sync again: only now is there an operation to end.
    wait_for(lambda: experiment.argocd.operation(experiment.application).get("retryCount"), "the sync's failure")


def test_an_interrupted_run_resumes(experiment: Experiment, asking: Asking) -> None:
    """After exit code 75 the Job makes another pod, and the run counts as resuming until that one runs."""
    experiment.commit()
    experiment.started(experiment.training)
    pods.finish(experiment.cluster, experiment.namespace, experiment.training, exit_code=75)
    resuming = asking.phase(experiment, "resuming")
    assert "exit code 75: interrupted, its checkpoint saved" in resuming["reason"]
    pods.run(experiment.cluster, experiment.namespace, experiment.training)
    asking.phase(experiment, "running")


def test_an_unsigned_commit_is_explained(experiment: Experiment, asking: Asking) -> None:
    """What Argo CD refuses to apply is the reason why the run waits."""
    experiment.commit(signed=False)
    refused = wait_for(lambda: _argocd(asking, experiment), "Argo CD's refusal")
    assert "is not signed" in refused["reason"]
    assert "only commits of the bot's key" in refused["remedy"]


def _argocd(asking: Asking, experiment: Experiment) -> dict[str, Any] | None:
    found = asking.status(experiment)
    return found if found["phase"] == "waiting-for-argo" and found["reason"].startswith("Argo CD: ") else None


@pytest.fixture
def furnished(cluster: Cluster, repository: Repository) -> Iterator[None]:
    """What a cluster has besides the platform's own objects: GPUs, an MLflow, credentials. Taken away afterwards."""
    mlflow = {"name": "mlflow-1", "namespace": "mlplatform", "labels": {"kubernetes.io/service-name": "mlflow"}}
    namespaces = [f"{tenant}-training" for tenant in platform_tree.tenants(repository.work)]
    cluster.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "mlplatform"}},
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": mlflow,
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["192.0.2.1"], "conditions": {"ready": True}}],
        },
        *(_credential(namespace) for namespace in namespaces),
        # Closed to pods: no kubelet is behind it.
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": "gpus", "labels": {"nvidia.com/gpu": "true"}},
            "spec": {"taints": [{"key": "nobody", "effect": "NoExecute"}]},
        },
    )
    ready = {"type": "Ready", "status": "True", "reason": "Test", "message": "", "lastHeartbeatTime": None}
    amounts = {"nvidia.com/gpu": "8"}
    status = {"allocatable": amounts, "capacity": amounts, "conditions": [ready]}
    cluster.patch("Node", "gpus", None, {"status": status}, status=True)
    yield
    cluster.delete("Node", "gpus")
    for namespace in namespaces:
        cluster.delete("Secret", "mlflow-credentials", namespace)
    cluster.delete("Namespace", "mlplatform")


def _credential(namespace: str) -> Manifest:
    metadata = {"name": "mlflow-credentials", "namespace": namespace}
    login = {"username": namespace, "password": "not-shown"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": login}


@pytest.mark.usefixtures("furnished")
def test_doctor_finds_nothing_and_then_what_is_taken_away(cluster: Cluster, argocd: ArgoCD, asking: Asking) -> None:
    """The bootstrapped platform is whole, and a credential that goes is named."""
    examine = ("doctor", "cluster", "--env", "dev")
    argocd.settled("finetuning-tenant-team-a")
    code, text = asking.text(*examine)
    assert code == 0, text
    assert "not-shown" not in text
    cluster.delete("Secret", "mlflow-credentials", "team-a-training")
    code, text = asking.text(*examine)
    assert code == 1
    assert "Secret team-a-training/mlflow-credentials  [mlflow-credentials]" in text


def test_doctor_names_a_foreign_network_rule(cluster: Cluster, asking: Asking) -> None:
    """A rule that no overlay has opens what the overlay closes; admission refuses it by now, so it came before that did."""
    tracking = "finetuning-tenant-team-a:networking.k8s.io/NetworkPolicy:team-a-training/open"
    metadata = {
        "name": "open",
        "namespace": "team-a-training",
        # Argo CD would take away at once what it tracks and git does not have.
        "annotations": {"argocd.argoproj.io/tracking-id": tracking, "argocd.argoproj.io/sync-options": "Prune=false"},
    }
    spec = {"podSelector": {}, "egress": [{}], "policyTypes": ["Egress"]}
    make(cluster, {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec})
    try:
        code, text = asking.text("doctor", "cluster", "--env", "dev")
        assert code == 1
        assert "NetworkPolicy team-a-training/open  [stranger]" in text
    finally:
        cluster.call("DELETE", "/apis/networking.k8s.io/v1/namespaces/team-a-training/networkpolicies/open")
