"""Nothing that happens to a cluster, to git or to Argo CD starts a finished run again."""

from __future__ import annotations

import shutil

import pytest

from tests.e2e.argocd import NAMESPACE
from tests.e2e.cluster import Manifest, has
from tests.e2e.processes import holds, wait_for
from tests.e2e.scenario import Experiment

pytestmark = pytest.mark.e2e

Finished = tuple[Experiment, str]


@pytest.fixture
def finished(experiment: Experiment) -> Finished:
    """An experiment that went through both Jobs, and the identity of its training Job."""
    experiment.commit()
    return experiment, experiment.finished()["metadata"]["uid"]


def test_hard_refresh_restarts_nothing(finished: Finished) -> None:
    """A hard refresh leaves a finished Job alone."""
    experiment, uid = finished
    experiment.argocd.refresh(experiment.application, hard=True)
    _untouched(experiment, uid)


def test_controller_restart_restarts_nothing(finished: Finished) -> None:
    """A new application controller leaves a finished Job alone."""
    experiment, uid = finished
    experiment.argocd.controller.stop()
    experiment.argocd.controller.start()
    experiment.argocd.refresh(experiment.application)
    _untouched(experiment, uid)


def test_lost_git_server_restarts_and_removes_nothing(finished: Finished) -> None:
    """While git is out of reach the Application stays, and when it is back nothing runs again."""
    experiment, uid = finished
    with experiment.repository.unreachable():
        experiment.argocd.refresh_sets()
        experiment.argocd.refresh(experiment.application, hard=True)
        wait_for(lambda: has(_set(experiment), "ErrorOccurred"), "the ApplicationSet's failure to read git")
        holds(lambda: experiment.argocd.application(experiment.application), "the Application", 5)
    experiment.argocd.refresh_sets()
    wait_for(lambda: has(_set(experiment), "ResourcesUpToDate"), "the ApplicationSet's success")
    experiment.argocd.refresh(experiment.application, hard=True)
    _untouched(experiment, uid)


def _set(experiment: Experiment) -> Manifest | None:
    """The ApplicationSet that the experiment's Application comes from."""
    return experiment.cluster.get("ApplicationSet", f"finetuning-{experiment.tenant}", NAMESPACE)


def test_recreated_application_runs_the_same_run(finished: Finished) -> None:
    """A deleted Application comes back with a Job of the same run: the runner finds its completion and ends at once."""
    experiment, uid = finished
    before = experiment.started(experiment.training)
    experiment.cluster.delete("Application", experiment.application, NAMESPACE)
    wait_for(lambda: experiment.started(experiment.training)["metadata"]["uid"] != uid, "a new training Job")
    after = experiment.started(experiment.training)
    assert after["metadata"]["labels"]["finetuning/run-id"] == experiment.run_id
    assert _told(after) == _told(before)
    experiment.finished()


def _told(job: Manifest) -> object:
    """What a Job tells the runner: its arguments and the ConfigMap with the lock."""
    pod = job["spec"]["template"]["spec"]
    volumes = [volume["configMap"]["name"] for volume in pod["volumes"] if "configMap" in volume]
    return pod["containers"][0]["args"], pod["containers"][0]["image"], volumes


def test_resync_publishes_again_and_trains_not(finished: Finished) -> None:
    """A sync by hand runs the publish Job again, whose steps find their results, and leaves training alone."""
    experiment, uid = finished
    before = experiment.started(experiment.publishing)["metadata"]["uid"]
    experiment.argocd.sync(experiment.application)
    wait_for(lambda: experiment.started(experiment.publishing)["metadata"]["uid"] != before, "a new publish Job")
    experiment.completed(experiment.publishing)
    experiment.reaches("Succeeded")
    _untouched(experiment, uid)


def test_new_base_restarts_nothing(finished: Finished) -> None:
    """A base v2 beside the v1 that a run is locked to changes nothing for the run."""
    experiment, uid = finished
    base = experiment.repository.work / "base" / "training"
    shutil.copytree(base / "v1", base / "v2", dirs_exist_ok=True)
    experiment.push("base v2")
    experiment.argocd.refresh(experiment.application, hard=True)
    _untouched(experiment, uid)


def _untouched(experiment: Experiment, uid: str) -> None:
    """The training Job is the same, still complete, and Argo CD has nothing to do."""
    training = experiment.started(experiment.training)
    assert training["metadata"]["uid"] == uid
    assert has(training, "Complete")
    application = experiment.argocd.application(experiment.application) or {}
    assert application["status"]["sync"]["status"] == "Synced"
    assert experiment.phase() == "Succeeded"
