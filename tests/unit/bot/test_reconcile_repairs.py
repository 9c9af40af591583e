"""What a round asks of Argo CD, from what a cluster and an MLflow answer over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.audited import outcome, record, write
from tests.unit.bot.upkeep_scene import NOW, Scene, scene
from tools.bot.upkeep import outcomes, repairs
from tools.formats.environment import Environment


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """One authorized run of which nobody knows anything yet."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    with scene(tmp_path) as found:
        yield found


def asked(run: Scene, now: datetime = NOW) -> list[tuple[str, str]]:
    """Action and Application of each repair."""
    return [(repair.action, repair.application) for repair in repairs.unpublished([run.watched()], now)]


SYNC = [("sync", "team-a.plain")]


def test_a_trained_run_that_nothing_publishes_is_synced(run: Scene) -> None:
    """A terminated PostSync leaves the Application Synced and Healthy, and nothing reruns it."""
    run.happens("never-published")
    run.logged(version=None)
    assert asked(run) == SYNC


def test_mlflow_away_does_not_hide_a_missing_publication(run: Scene) -> None:
    """There is no publish Job, whatever MLflow would say."""
    run.happens("never-published")
    run.mlflow.status = 503
    assert asked(run) == SYNC


@pytest.mark.parametrize("scenario", ["running", "publishing", "training-failed", "published", "publish-refused"])
def test_nothing_is_asked_while_it_works_or_cannot_work(run: Scene, scenario: str) -> None:
    """Training, a running operation, a failed training and a publication that a repetition cannot change are left alone."""
    run.happens(scenario)
    run.logged(version=3 if scenario == "published" else None)
    assert asked(run) == []


def test_a_registered_run_is_left_alone_without_its_publish_job(run: Scene) -> None:
    """The version with the run's hash is the proof; the Job may have been deleted."""
    run.happens("never-published")
    run.logged(version=3)
    assert asked(run) == []


def test_a_publication_that_failed_is_repeated_at_a_pace_and_not_for_ever(run: Scene) -> None:
    """It gave up at ten: not repeated after a quarter of an hour, repeated at noon, left alone days later."""
    run.happens("publish-failed")
    run.logged(version=None)
    gave_up = datetime.fromisoformat("2026-11-23T10:00:00Z")
    assert asked(run, gave_up + timedelta(minutes=15)) == []
    assert asked(run, gave_up + timedelta(hours=2)) == SYNC
    assert asked(run, gave_up + timedelta(days=3)) == []


def test_a_published_run_without_a_version_is_registered_again(run: Scene) -> None:
    """An MLflow that lost its registry gets the version back."""
    run.happens("published")
    run.logged(version=None)
    assert asked(run) == SYNC


def test_a_version_that_a_person_deleted_stays_deleted(run: Scene) -> None:
    """The record says that it was there."""
    write(run.platform, record(run.lock, outcome()))
    run.happens("published")
    run.logged(version=None)
    assert asked(run) == []


@pytest.mark.parametrize("path", ["jobs", "applications"])
def test_what_may_not_be_read_is_not_acted_upon(run: Scene, path: str) -> None:
    """A bot without the right to look does not guess."""
    run.happens("never-published")
    run.logged(version=None)
    jobs = "/apis/batch/v1/namespaces/team-a-training/jobs"
    application = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications/team-a.plain"
    run.api.refused.add(jobs if path == "jobs" else application)
    assert asked(run) == []


def environment(run: Scene) -> Environment:
    """The run's environment, which keeps finished runs for seven days."""
    found = run.repository.environment("dev")
    assert found is not None
    return found


def test_a_cancelled_run_is_looked_at_for_as_long_as_finished_ones_are_kept(run: Scene) -> None:
    """Its operation is ended again in each round until it is gone; after a week nobody looks any more."""
    gone = [outcomes.cancelled(record(run.lock), "2026-11-23T09:00:00Z")]
    (found,) = repairs.cancelled(gone, frozenset(), environment(run), NOW)
    assert (found.action, found.tenant, found.application) == ("terminate", "team-a", "team-a.plain")
    assert repairs.cancelled(gone, frozenset(), environment(run), NOW + timedelta(days=8)) == []


def test_another_run_of_the_same_name_is_not_ended(run: Scene) -> None:
    """Where an overlay of that name stands, the Application is not the cancelled run's."""
    gone = [outcomes.cancelled(record(run.lock), "2026-11-23T09:00:00Z")]
    assert repairs.cancelled(gone, frozenset({"team-a/plain"}), environment(run), NOW) == []


def test_what_finished_is_not_cancelled(run: Scene) -> None:
    """Only a cancellation ends an operation."""
    assert repairs.cancelled([record(run.lock, outcome())], frozenset(), environment(run), NOW) == []
