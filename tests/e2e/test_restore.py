"""A cluster that lost everything gets it back from the signed branch alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e import argocd as argo
from tests.e2e import control_plane
from tests.e2e.argocd import NAMESPACE
from tests.e2e.binaries import Cache
from tests.e2e.processes import Programs
from tests.e2e.repositories import SigningKey
from tests.e2e.scenario import Experiment, bootstrap

pytestmark = pytest.mark.e2e


@pytest.fixture
def restored(experiment: Experiment, built: Cache, key: SigningKey, state: Path) -> Iterator[Experiment]:
    """The experiment, finished in the session's cluster, as a cluster with an empty etcd sees it.

    Nothing but the address of the repository and the bot's public key is carried over.
    """
    experiment.commit()
    experiment.finished()
    folder = state / "restored"
    clone = experiment.repository.clone(folder / "clone")
    with Programs(folder / "log") as programs:
        cluster = control_plane.start(built, folder / "control-plane", programs).cluster
        with argo.running(built, cluster, folder / "argocd", programs, {key.key_id: key.public}) as argocd:
            bootstrap(built.program("kustomize"), cluster, argocd, clone)
            yield replace(experiment, cluster=cluster, argocd=argocd)


def test_empty_cluster_gets_its_run_back(restored: Experiment, experiment: Experiment) -> None:
    """With an empty etcd the run's Job comes again with its run id, lock and claims, and nothing beside it.

    That it ends at once, as the storage holds its completion, is the runner's part and tested there.
    """
    training = restored.started(restored.training)
    assert [job["metadata"]["name"] for job in restored.cluster.list("Job")] == [restored.training]
    runs = restored.cluster.list("Application", NAMESPACE, "finetuning/experiment")
    assert [run["metadata"]["name"] for run in runs] == [restored.application]
    assert _told(restored) == _told(experiment)
    assert training["metadata"]["labels"]["finetuning/run-id"] == experiment.run_id
    restored.finished()
    assert restored.jobs() == experiment.jobs()


def _told(experiment: Experiment) -> object:
    """What the run works with: its lock, its pod and the volumes behind its claims."""
    lock = experiment.cluster.get("ConfigMap", f"{experiment.run_id}-run", experiment.namespace)
    pod = experiment.started(experiment.training)["spec"]["template"]["spec"]
    claims = [volume["persistentVolumeClaim"]["claimName"] for volume in pod["volumes"] if _is_claim(volume)]
    found = [experiment.cluster.get("PersistentVolumeClaim", name, experiment.namespace) for name in claims]
    return (lock or {})["data"], pod, [(claim or {})["spec"] for claim in found]


def _is_claim(volume: dict[str, object]) -> bool:
    return "persistentVolumeClaim" in volume
