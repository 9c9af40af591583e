"""Runs in the queue of a real Kueue: admitted, waiting, first by priority, lent a GPU and sent back, under a real Argo CD.

Two tenants with two GPUs each; team A may borrow one more. A control plane of its own, as Kueue changes every Job of a cluster.
JobSet's controller is there too: all nodes of a run are one workload of the queue.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.e2e import argocd as argo
from tests.e2e import control_plane, kueue, platform_tree, pods
from tests.e2e import jobset as jobset_controller
from tests.e2e.argocd import ArgoCD
from tests.e2e.binaries import Cache
from tests.e2e.cluster import Cluster, Manifest, has
from tests.e2e.processes import Program, Programs, holds, wait_for
from tests.e2e.repositories import Repository, SigningKey
from tests.e2e.scenario import Experiment
from tools.cli import main

pytestmark = pytest.mark.e2e

TENANTS = ("team-a", "team-b")
Run = Callable[..., Experiment]


@dataclass(frozen=True)
class Site:
    """A platform whose environment says `kueue: true`."""

    cluster: Cluster
    argocd: ArgoCD
    repository: Repository
    kueue: Program


@pytest.fixture(scope="module")
def site(built: Cache, key: SigningKey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Kueue, Argo CD and the platform on a control plane of their own."""
    folder = tmp_path_factory.mktemp("kueue")
    with Programs(folder / "log") as programs:
        cluster = control_plane.start(built, folder / "control-plane", programs).cluster
        jobset_controller.start(built, cluster, folder / "jobset", programs)
        queue = kueue.start(built, cluster, folder / "kueue", programs)
        with argo.running(built, cluster, folder / "argocd", programs, {key.key_id: key.public}) as argocd:
            repository = Repository(folder, key)
            _platform(repository, key)
            overlay = repository.work / "overlays" / "dev" / "_platform"
            cluster.apply(*platform_tree.render(built.program("kustomize"), overlay))
            for tenant in TENANTS:
                argocd.settled(f"finetuning-tenant-{tenant}")
                name = f"finetuning-{tenant}"
                wait_for(partial(_active, cluster, name), f"the queue of {tenant}", programs=[queue])
            yield Site(cluster, argocd, repository, queue)


def _platform(repository: Repository, key: SigningKey) -> None:
    platform_tree.copy(repository.work, repository.url, key.key_id)
    platform_tree.add_tenant(repository.work, "team-b")
    _change(repository, "environments/dev.yaml", {"kueue": True})
    for tenant, borrowed in zip(TENANTS, (1, 0), strict=True):
        _change(repository, f"tenants/{tenant}/tenant.yaml", {"quota": {"gpus": 2, "borrow_gpus": borrowed}})
    platform_tree.expand(repository.work, "--platform", "--tenants")
    repository.push("the platform, with Kueue")


def _change(repository: Repository, name: str, settings: dict[str, Any]) -> None:
    """Write settings into a file; a mapping there keeps what is not named."""
    file, yaml = repository.work / name, YAML()
    found = yaml.load(file)
    for key, value in settings.items():
        if isinstance(value, dict):
            found[key].update(value)
        else:
            found[key] = value
    yaml.dump(found, file)


def _active(cluster: Cluster, name: str) -> bool:
    return has(cluster.get("ClusterQueue", name), "Active")


@pytest.fixture
def run(site: Site) -> Iterator[Run]:
    """Commit a run of a tenant with so many GPUs a node; afterwards it is cancelled."""
    made: list[Experiment] = []

    def run(name: str, gpus: int, tenant: str = "team-a", priority: str = "normal", nodes: int = 1) -> Experiment:
        experiment = Experiment(site.cluster, site.argocd, site.repository, tenant, name)
        file = platform_tree.add_experiment(site.repository.work, tenant, name)
        text = re.sub(r"gpus: 0 .*", f"gpus: {gpus}", file.read_text(encoding="utf-8"))
        text = re.sub(r"nodes: 1\b", f"nodes: {nodes}", text)
        file.write_text(f"{text}priority: {priority}\n", encoding="utf-8")
        platform_tree.expand(site.repository.work, str(file))
        experiment.run_id, experiment.attempt = platform_tree.locked(site.repository.work, tenant, name)
        experiment.push(f"{experiment.application}: authorize")
        made.append(experiment)
        wait_for(lambda: _training(experiment), f"the training of {name}", programs=[site.argocd.controller])
        return experiment

    yield run
    for experiment in made:
        experiment.cancelled()


def _admitted(experiment: Experiment) -> Manifest:
    """Wait until Kueue lets the run start, let its pod run, and return the pod."""
    wait_for(lambda: not _waits(experiment), f"the admission of {experiment.name}")
    return pods.run(experiment.cluster, experiment.namespace, experiment.training)


def _training(experiment: Experiment) -> Manifest | None:
    """Its training Job, or on several nodes its JobSet, as the cluster has it now."""
    gang = experiment.cluster.get("JobSet", experiment.training, experiment.namespace)
    return gang or experiment.job(experiment.training)


def _waits(experiment: Experiment) -> bool:
    training = _training(experiment)
    assert training is not None
    return bool(training["spec"].get("suspend"))


def test_admitted_run_keeps_its_place_and_argocd_is_quiet(site: Site, run: Run) -> None:
    """A run without a GPU is admitted, goes to no GPU node, and what Kueue wrote into its Job is no difference to Argo CD."""
    experiment = run("cpu", 0)
    spec = _admitted(experiment)["spec"]
    assert "nodeSelector" not in spec
    assert not [each for each in spec["tolerations"] if each["key"] == "nvidia.com/gpu"]
    site.argocd.refresh(experiment.application, hard=True)
    status = (site.argocd.application(experiment.application) or {})["status"]
    assert status["sync"]["status"] == "Synced", status["resources"]
    training = experiment.finished()
    assert training["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "finetuning"


def test_runs_wait_with_a_reason_and_start_by_priority(
    site: Site, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """While the quota is used the next runs wait, say why and where they stand; the later one of higher priority goes first."""
    first = run("first", 2)
    assert _admitted(first)["spec"]["nodeSelector"] == {"nvidia.com/gpu": "true"}
    low, normal = run("low", 2, priority="low"), run("normal", 2)
    wait_for(lambda: "insufficient unused quota" in _status(site, low, capsys)["reason"], "Kueue's reason")
    waiting = [_status(site, each, capsys) for each in (normal, low)]
    assert [each["phase"] for each in waiting] == ["queued", "queued"]
    assert "position 1 of 2" in waiting[0]["reason"]
    assert "position 2 of 2" in waiting[1]["reason"]
    assert "nvidia.com/gpu in flavor finetuning" in waiting[1]["reason"]
    assert waiting[1]["remedy"] == "it starts by itself in its turn"
    first.finished()
    _admitted(normal)
    assert _waits(low)  # it asked first
    normal.finished()
    _admitted(low)
    low.finished()


def test_preempted_run_is_published_after_its_own_end(run: Run) -> None:
    """A run that makes room for a more urgent one stays unpublished while it waits and after it resumes, until it has ended."""
    patient = run("patient", 2)
    _admitted(patient)
    urgent = run("urgent", 2, priority="high")
    wait_for(lambda: _waits(patient), "the preemption")
    _admitted(urgent)
    holds(lambda: patient.job(patient.publishing) is None, "no publish Job while it is suspended")
    urgent.finished()
    _admitted(patient)
    patient.argocd.refresh(patient.application)
    holds(lambda: patient.job(patient.publishing) is None, "no publish Job after it was resumed")
    assert patient.phase() == "Running"
    patient.finished()


def test_idle_gpus_are_lent_and_come_back(run: Run) -> None:
    """Team A uses one GPU of team B's as far as its limit goes, and gives it back when team B needs it."""
    own = run("own", 2)
    _admitted(own)
    holds(lambda: not _waits(own), "its place", 2)  # Kueue sends the last one admitted back, and counts whole seconds
    lent = run("lent", 1)
    _admitted(lent)
    beyond = run("beyond", 1)
    holds(lambda: _waits(beyond), "no second loan")
    owner = run("owner", 2, tenant="team-b")
    _admitted(owner)
    wait_for(lambda: _waits(lent), "the end of the loan")
    assert not _waits(own)


def test_all_nodes_of_a_run_wait_and_start_together(site: Site, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """One workload of two pods: with one GPU to be had neither starts, with two both do, and it is trained and published."""
    alone = run("alone", 2)
    _admitted(alone)
    wait_for(partial(_counts_jobsets, site), "a quota that knows how many JobSets there are")
    gang = run("gang", 1, nodes=2)
    wait_for(lambda: "insufficient unused quota" in _status(site, gang, capsys)["reason"], "Kueue's reason")
    assert _status(site, gang, capsys)["phase"] == "queued"
    holds(lambda: _waits(gang) and not _ranks(gang), "no pod of a gang that has room for one")
    (workload,) = [
        each
        for each in site.cluster.list("Workload", gang.namespace)
        if each["metadata"]["ownerReferences"][0]["name"] == gang.training
    ]
    assert [(each["name"], each["count"]) for each in workload["spec"]["podSets"]] == [("node", 2)]

    alone.finished()
    ranks = wait_for(lambda: found if len(found := _ranks(gang)) == 2 else [], "both pods")
    assert {pod["spec"]["nodeSelector"]["nvidia.com/gpu"] for pod in ranks} == {"true"}
    pods.start(site.cluster, *ranks)
    site.argocd.refresh(gang.application, hard=True)
    assert site.argocd.differing(gang.application) == []
    for pod in ranks:
        pods.end(site.cluster, pod)
    wait_for(lambda: has(_training(gang), "Completed"), "the JobSet's completion")
    gang.completed(gang.publishing)
    gang.reaches("Succeeded")


def _ranks(experiment: Experiment) -> list[Manifest]:
    """Pods of a run on several nodes."""
    return pods.of(experiment.cluster, experiment.namespace, f"{experiment.training}-node-0")


def _counts_jobsets(site: Site) -> bool:
    """Whether the tenant's quota counts them already; before that nobody may make one."""
    quotas = site.cluster.list("ResourceQuota", "team-a-training")
    return any("count/jobsets.jobset.x-k8s.io" in (quota["status"].get("used") or {}) for quota in quotas)


def _status(site: Site, experiment: Experiment, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The run in `ft status --format json`."""
    capsys.readouterr()
    where = ["--repo", str(site.repository.work), "--kubeconfig", str(site.cluster.kubeconfig)]
    main(["status", f"{experiment.tenant}/{experiment.name}", *where, "--tracking-uri", _NOWHERE, "--format", "json"])
    (found,) = json.loads(capsys.readouterr().out)["runs"]
    return dict(found)


_NOWHERE = "http://127.0.0.1:9"  # no MLflow here; that is a note, never a failure
