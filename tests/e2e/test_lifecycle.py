"""A run's life in a real Argo CD on a real API server: started by a commit, merged after training, ended by its removal."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.e2e import pods
from tests.e2e.cluster import Cluster, Manifest, has
from tests.e2e.processes import holds, wait_for
from tests.e2e.scenario import Experiment

pytestmark = pytest.mark.e2e


def test_commit_becomes_job(experiment: Experiment) -> None:
    """A signed commit of an overlay becomes the training Job, labelled with its run."""
    experiment.commit()
    labels = experiment.started(experiment.training)["metadata"]["labels"]
    assert labels["finetuning/run-id"] == experiment.run_id
    assert labels["finetuning/tenant"] == experiment.tenant


def test_publish_waits_for_training(experiment: Experiment) -> None:
    """The PostSync Job starts when training is complete, not before, and the sync then succeeds."""
    experiment.commit()
    pods.run(experiment.cluster, experiment.namespace, experiment.training)
    holds(lambda: experiment.job(experiment.publishing) is None, "no publish Job while training runs")
    assert experiment.phase() == "Running"
    experiment.finished()


def test_suspended_and_resumed_job_is_not_published(experiment: Experiment) -> None:
    """A Job that was suspended and resumed, as Kueue does, is not taken for finished: publish still waits."""
    experiment.commit()
    cluster, namespace, name = experiment.cluster, experiment.namespace, experiment.training
    pods.run(cluster, namespace, name)
    _kueue(cluster).patch("Job", name, namespace, {"spec": {"suspend": True}})
    wait_for(lambda: has(experiment.job(name), "Suspended"), "suspension")
    _kueue(cluster).patch("Job", name, namespace, {"spec": {"suspend": False}})
    wait_for(lambda: not has(experiment.job(name), "Suspended"), "resumption")
    pods.run(cluster, namespace, name)
    experiment.argocd.refresh(experiment.application)
    holds(lambda: experiment.job(experiment.publishing) is None, "no publish Job after a resumption", 5)
    experiment.finished()


def _kueue(cluster: Cluster) -> Cluster:
    """Whom admission lets suspend a Job."""
    return cluster.impersonating("kueue-system:kueue-controller-manager")


def test_failed_job_is_repeated_by_a_raised_attempt_alone(make: Callable[[str, str], Experiment]) -> None:
    """A failed Job is neither published nor created again by a retry; a raised attempt replaces it in the same run."""
    left, raised = make("team-a", "failed-and-left"), make("team-a", "failed-and-raised")
    uid = _failed(left)["metadata"]["uid"]
    _failed(raised)
    raised.try_again()
    wait_for(lambda: _retries(left) > 1, "two tries of the sync")
    left.argocd.refresh(left.application, hard=True)
    assert left.started(left.training)["metadata"]["uid"] == uid
    assert left.jobs() == [left.training]
    _trains_again(raised)
    # Given up, as after the last retry. Not the other way round: Argo CD starts nothing for a revision that it compared
    # while an operation was running which then failed.
    left.argocd.terminate(left.application)
    left.reaches("Failed")
    left.try_again()
    _trains_again(left)


def _failed(experiment: Experiment) -> Manifest:
    """Commit it and let its training Job fail."""
    experiment.commit()
    experiment.started(experiment.training)
    pods.finish(experiment.cluster, experiment.namespace, experiment.training, exit_code=4)
    wait_for(lambda: has(experiment.job(experiment.training), "Failed"), "failure of the Job")
    return experiment.started(experiment.training)


def _trains_again(experiment: Experiment) -> None:
    """Its second attempt is a Job of the same run, which is published; the first is gone."""
    assert experiment.training == f"{experiment.run_id}-a2"
    labels = experiment.finished()["metadata"]["labels"]
    assert labels["finetuning/run-id"] == experiment.run_id
    assert experiment.jobs() == [experiment.training, experiment.publishing]


def _retries(experiment: Experiment) -> int:
    """How often the sync was tried again, the try that waits for its time included."""
    return int(experiment.argocd.operation(experiment.application).get("retryCount", 0))


@pytest.mark.parametrize("moment", ["queued", "training", "publishing"])
def test_cancel(experiment: Experiment, moment: str) -> None:
    """Removing the overlay and terminating the operation ends a run that is queued, training or publishing."""
    experiment.commit()
    cluster, namespace = experiment.cluster, experiment.namespace
    experiment.started(experiment.training)
    if moment == "queued":
        _kueue(cluster).patch("Job", experiment.training, namespace, {"spec": {"suspend": True}})
    elif moment == "training":
        pods.run(cluster, namespace, experiment.training)
    else:
        experiment.completed(experiment.training)
        pods.run(cluster, namespace, experiment.publishing)
    experiment.cancelled()
