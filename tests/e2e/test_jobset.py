"""A run on two nodes with a real JobSet controller under a real Argo CD: made by a commit, started again as one, published."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e import jobset as jobset_controller
from tests.e2e import platform_tree, pods
from tests.e2e.argocd import ArgoCD
from tests.e2e.binaries import Cache
from tests.e2e.cluster import Cluster, Manifest, has
from tests.e2e.processes import Program, Programs, holds, wait_for
from tests.e2e.scenario import Experiment
from tools.cli import main

pytestmark = pytest.mark.e2e

Run = Callable[[str], Experiment]
_NOWHERE = "http://127.0.0.1:9"  # no MLflow here; that is a note, never a failure


@pytest.fixture(scope="module")
def controller(built: Cache, cluster: Cluster, state: Path, programs: Programs, argocd: ArgoCD) -> Iterator[Program]:
    """JobSet's controller, for the tests of this module, installed after Argo CD: as docs/install.md says, that starts again."""
    program = jobset_controller.start(built, cluster, state / "jobset", programs)
    argocd.controller.stop()
    argocd.controller.start()
    yield program
    program.stop()


@pytest.fixture
def run(make: Callable[[str, str], Experiment], controller: Program) -> Run:
    """Commit a run on two nodes; afterwards it is cancelled."""
    assert controller.alive

    def run(name: str) -> Experiment:
        experiment = make("team-a", name)
        platform = experiment.repository.work
        file = platform_tree.add_experiment(platform, "team-a", name)
        file.write_text(re.sub(r"nodes: 1\b", "nodes: 2", file.read_text(encoding="utf-8")))
        platform_tree.expand(platform, str(file))
        experiment.run_id, experiment.attempt = platform_tree.locked(platform, "team-a", name)
        wait_for(lambda: _counted(experiment), "a quota that knows how many JobSets there are")
        experiment.push(f"{experiment.application}: authorize")
        return experiment

    return run


def _counted(experiment: Experiment) -> bool:
    """Whether the tenant's quota counts JobSets, whose kind came later; before that nobody may make one."""
    quotas = experiment.cluster.list("ResourceQuota", experiment.namespace)
    return any("count/jobsets.jobset.x-k8s.io" in (quota["status"].get("used") or {}) for quota in quotas)


def _set(experiment: Experiment) -> Manifest:
    """Its JobSet."""
    return experiment.cluster.get("JobSet", experiment.training, experiment.namespace) or {}


def _restarts(experiment: Experiment) -> tuple[int, int]:
    """How often all pods were started again, and how many of those count."""
    status = _set(experiment).get("status") or {}
    return status.get("restarts", 0), status.get("restartsCountTowardsMax", 0)


def _ranks(experiment: Experiment, other_than: tuple[Manifest, ...] = ()) -> tuple[Manifest, ...]:
    """Wait for two pods, none of them of `other_than`, and return them by rank."""
    old = {pod["metadata"]["uid"] for pod in other_than}

    def look() -> list[Manifest]:
        found = pods.of(experiment.cluster, experiment.namespace, f"{experiment.training}-node-0")
        return found if len(found) == 2 and not old & {pod["metadata"]["uid"] for pod in found} else []

    found = wait_for(look, f"two pods of {experiment.training}")
    return tuple(sorted(found, key=lambda pod: pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"]))


def test_two_nodes_train_together_and_are_published_once(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Two pods that know their ranks and where to meet; the publish Job waits for both; Argo CD sees no difference."""
    experiment = run("gang")
    ranks = _ranks(experiment)
    for rank, pod in enumerate(ranks):
        assert pod["spec"]["hostname"] == f"{experiment.training}-node-0-{rank}"
        assert pod["spec"]["subdomain"] == experiment.training
        meeting = pod["metadata"]["annotations"]["jobset.sigs.k8s.io/coordinator"]
        assert meeting == f"{experiment.training}-node-0-0.{experiment.training}"
        assert pod["metadata"]["labels"]["finetuning/run-id"] == experiment.run_id
    service = experiment.cluster.get("Service", experiment.training, experiment.namespace) or {}
    assert (service["spec"]["clusterIP"], service["spec"]["publishNotReadyAddresses"]) == ("None", True)
    network = experiment.cluster.get("NetworkPolicy", f"{experiment.run_id}-gang", experiment.namespace) or {}
    assert network["spec"]["podSelector"]["matchLabels"]["finetuning/run-id"] == experiment.run_id

    pods.start(experiment.cluster, *ranks)
    pods.end(experiment.cluster, ranks[1])
    holds(lambda: experiment.job(experiment.publishing) is None, "no publish Job while rank 0 trains")
    assert experiment.phase() == "Running"
    assert _phase(experiment, capsys) == "running"
    pods.end(experiment.cluster, ranks[0])
    wait_for(lambda: has(_set(experiment), "Completed"), "the JobSet's completion")
    experiment.completed(experiment.publishing)
    experiment.reaches("Succeeded")
    experiment.argocd.refresh(experiment.application, hard=True)
    assert experiment.argocd.differing(experiment.application) == []
    assert _phase(experiment, capsys) == "finished"


def test_a_lost_pod_starts_all_of_them_again_and_counts_once(run: Run) -> None:
    """Exit code 75 of both ranks is one of six restarts; a drained node is none; the other rank's pod is replaced too."""
    experiment = run("gang-again")
    first = _ranks(experiment)
    pods.start(experiment.cluster, *first)
    for pod in reversed(first):
        pods.end(experiment.cluster, pod, 75)
    second = _ranks(experiment, first)
    assert _restarts(experiment) == (1, 1)
    pods.start(experiment.cluster, *second)
    pods.disrupt(experiment.cluster, second[1])
    third = _ranks(experiment, (*first, *second))
    assert _restarts(experiment) == (2, 1)
    assert experiment.job(experiment.publishing) is None
    pods.start(experiment.cluster, *third)


def test_an_exit_code_that_comes_again_ends_the_gang(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 3 of one rank fails the run at once, with its reason, and nothing is published."""
    experiment = run("gang-refused")
    ranks = _ranks(experiment)
    pods.start(experiment.cluster, *ranks)
    pods.end(experiment.cluster, ranks[1], 3)
    wait_for(lambda: has(_set(experiment), "Failed"), "the JobSet's failure")
    assert _restarts(experiment) == (0, 0)
    assert _phase(experiment, capsys) == "failed"
    assert experiment.job(experiment.publishing) is None


def _phase(experiment: Experiment, capsys: pytest.CaptureFixture[str]) -> str:
    """What `ft status` calls it."""
    capsys.readouterr()
    where = ["--repo", str(experiment.repository.work), "--kubeconfig", str(experiment.cluster.kubeconfig)]
    main(["status", f"team-a/{experiment.name}", *where, "--tracking-uri", _NOWHERE, "--format", "json"])
    (found,) = json.loads(capsys.readouterr().out)["runs"]
    return str(found["phase"])
