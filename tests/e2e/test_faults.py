"""Parts that fail in the middle of a run: the same Job goes on, and is published once."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from tests.e2e import pods
from tests.e2e.argocd import NAMESPACE
from tests.e2e.cluster import Refused
from tests.e2e.control_plane import ControlPlane
from tests.e2e.processes import wait_for
from tests.e2e.scenario import Experiment

pytestmark = pytest.mark.e2e

AWAY = 60  # seconds
_LISTED = ("AppProject", "ApplicationSet", "Application")


def test_killed_controller_takes_the_sync_up_again(experiment: Experiment) -> None:
    """A controller killed while training runs carries on with the same Job, and publishes after it."""
    experiment.commit()
    pods.run(experiment.cluster, experiment.namespace, experiment.training)
    uid = experiment.started(experiment.training)["metadata"]["uid"]
    experiment.argocd.controller.kill()
    experiment.argocd.controller.start()
    assert experiment.finished()["metadata"]["uid"] == uid


@pytest.mark.parametrize("phase", ["training", "publishing"])
def test_api_server_away(experiment: Experiment, plane: ControlPlane, phase: str) -> None:
    """An API server that is away for a minute costs the minute: training goes on, publishing may begin again."""
    experiment.commit()
    training = experiment.started(experiment.training)["metadata"]["uid"]
    if phase == "publishing":
        experiment.completed(experiment.training)
    pods.run(experiment.cluster, experiment.namespace, getattr(experiment, phase))
    with plane.outage():
        time.sleep(AWAY)
    wait_for(lambda: _serves(plane), "Argo CD's objects")
    if phase == "training":
        experiment.completed(experiment.training)
    experiment.published()
    assert experiment.started(experiment.training)["metadata"]["uid"] == training
    assert experiment.jobs() == [experiment.training, experiment.publishing]


def test_api_server_away_at_the_commit(experiment: Experiment, plane: ControlPlane) -> None:
    """A run committed while the API server is away starts once it is back, and once."""
    with plane.outage():
        experiment.authorize()
        experiment.repository.push("while the API server is away")
        time.sleep(AWAY)
    wait_for(lambda: _serves(plane), "Argo CD's objects")
    experiment.argocd.refresh_sets()
    # The ApplicationSet controller works from an old copy for a while, is refused, and waits longer each time.
    wait_for(lambda: experiment.job(experiment.training), "the training Job")
    uid = experiment.started(experiment.training)["metadata"]["uid"]
    assert experiment.finished()["metadata"]["uid"] == uid
    assert experiment.jobs() == [experiment.training, experiment.publishing]


def _serves(plane: ControlPlane) -> bool:
    """Whether it lists Argo CD's objects too: it calls itself ready while it still says "storage is (re)initializing"."""
    try:
        return plane.cluster.ready() and all(plane.cluster.list(kind, NAMESPACE) for kind in _LISTED)
    except Refused:
        return False


@pytest.mark.parametrize("hours", [1, -1], ids=["ahead", "behind"])
def test_clock_skew(experiment: Experiment, hours: int) -> None:
    """A commit and a signature dated an hour ahead or behind are applied like any other."""
    commit = experiment.commit(ahead=timedelta(hours=hours))
    experiment.finished()
    application = experiment.argocd.application(experiment.application) or {}
    assert application["status"]["sync"]["revision"] == commit
