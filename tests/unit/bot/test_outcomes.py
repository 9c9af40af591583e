"""Outcomes in audit records, from what a cluster and an MLflow answer over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.audited import outcome, record, write
from tests.unit.bot.upkeep_scene import STARTED, Scene, scene
from tools.bot.upkeep import outcomes
from tools.formats.audit import Measured, Outcome, Registered
from tools.plan.planner import Planner

GIB = 1 << 30


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """One authorized run of which nobody knows anything yet."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    with scene(tmp_path) as found:
        yield found


def ended(run: Scene) -> Outcome:
    """The outcome that a round would write."""
    updated = run.updated()
    assert updated is not None
    assert updated.last.outcome is not None
    return updated.last.outcome


def test_a_published_run_has_hours_memory_and_version(run: Scene) -> None:
    """Half an hour and an hour of two pods, one GPU each; the highest memory of all steps; the version with the run's hash."""
    run.happens("published")
    run.logged(version=3)
    assert ended(run) == Outcome(
        result="finished",
        at="2026-11-23T09:40:00Z",
        cause=None,
        measured=Measured(gpu_hours=1.5, peak_memory_bytes=round(5.5 * GIB)),
        registered=Registered(name="team-a.topics", version=3),
    )


def test_without_pods_the_job_says_how_long_it_took(run: Scene) -> None:
    """The pods of a Job may be collected before the bot looks."""
    run.happens("no-pods")
    run.logged(version=3)
    assert ended(run).measured == Measured(gpu_hours=1.5, peak_memory_bytes=round(5.5 * GIB))


def test_a_failed_run_has_its_cause_and_its_hours(run: Scene) -> None:
    """Failed GPU-hours are used GPU-hours."""
    run.happens("training-failed")
    run.logged(version=None)
    found = ended(run)
    assert (found.result, found.at) == ("failed", "2026-11-23T08:45:01Z")
    assert found.cause is not None
    assert "out of memory" in found.cause
    assert found.measured == Measured(gpu_hours=0.75, peak_memory_bytes=round(5.5 * GIB))


@pytest.mark.parametrize("scenario", ["running", "publishing", "never-published"])
def test_what_is_not_over_has_no_outcome(run: Scene, scenario: str) -> None:
    """Neither training nor a publication that is still to come is an end."""
    run.happens(scenario)
    run.logged(version=None)
    assert run.updated() is None


def test_a_cluster_that_is_away_ends_nothing(run: Scene) -> None:
    """MLflow alone, where the tenant may write, is no proof of an end."""
    run.logged(version=3)
    run.api.status = 503
    assert run.updated() is None


def test_mlflow_away_costs_the_outcome_nothing_but_its_part(run: Scene) -> None:
    """The hours are the cluster's; version and memory follow when MLflow answers again."""
    run.happens("published")
    run.mlflow.status = 503
    first = ended(run)
    assert (first.result, first.registered) == ("finished", None)
    assert first.measured == Measured(gpu_hours=1.5, peak_memory_bytes=None)
    updated = run.updated()
    assert updated is not None
    write(run.platform, updated)
    run.mlflow.status = 0
    run.logged(version=3)
    second = ended(run)
    assert second.registered == Registered(name="team-a.topics", version=3)
    assert second.measured == Measured(gpu_hours=1.5, peak_memory_bytes=round(5.5 * GIB))


def test_a_record_that_says_all_is_not_written_again(run: Scene) -> None:
    """The second round has nothing to commit, also when pods and version are gone since."""
    run.happens("published")
    run.logged(version=3)
    updated = run.updated()
    assert updated is not None
    write(run.platform, updated)
    assert run.updated() is None
    run.happens("no-pods")
    run.logged(version=None, peaks=())
    assert run.updated() is None


def test_a_publication_that_succeeds_later_ends_the_failure(run: Scene) -> None:
    """What failed to publish and was synced again is finished; what is finished does not fail any more."""
    run.happens("publish-failed")
    run.logged(version=None)
    failed = run.updated()
    assert failed is not None
    assert failed.last.outcome is not None
    assert failed.last.outcome.result == "failed"
    write(run.platform, failed)
    run.happens("published")
    run.logged(version=4)
    finished = run.updated()
    assert finished is not None
    write(run.platform, finished)
    assert finished.last.outcome is not None
    assert finished.last.outcome.registered == Registered(name="team-a.topics", version=4)
    run.happens("training-failed")
    assert run.updated() is None


def test_a_version_of_another_run_is_not_taken(run: Scene) -> None:
    """Only the full hash ties a version to a run."""
    run.happens("published")
    run.logged(version=3)
    versions = run.mlflow.answers["/api/2.0/mlflow/model-versions/search"]["model_versions"]
    versions[0]["tags"][0]["value"] = "0" * 64
    assert ended(run).registered is None


def test_a_cancelled_run_counts_at_most_the_time_since_its_authorization(run: Scene) -> None:
    """Two hours after the authorization it has used two GPU-hours at most, and never more than its limit."""
    made = record(run.lock, at=STARTED)
    soon = outcomes.cancelled(made, "2026-11-23T09:59:00Z").last.outcome
    assert soon is not None
    assert (soon.result, soon.measured) == ("cancelled", Measured(gpu_hours=2.0, peak_memory_bytes=None))
    late = outcomes.cancelled(made, "2026-11-30T09:59:00Z").last.outcome
    assert late is not None
    assert late.measured == Measured(gpu_hours=8.0, peak_memory_bytes=None)


def test_a_cancellation_without_a_measurement_gets_one(run: Scene) -> None:
    """It keeps its time and its cause, and does not hold its whole limit of the month any more."""
    bare = outcome("cancelled", hours=None, version=None, at="2026-11-23T08:59:00Z")
    bare = bare.model_copy(update={"cause": "cancelled by !8"})
    found = outcomes.cancelled(record(run.lock, bare, at=STARTED), "2026-11-23T12:00:00Z").last.outcome
    assert found == bare.model_copy(update={"measured": Measured(gpu_hours=1.0, peak_memory_bytes=None)})


def test_a_cancellation_changes_no_outcome_that_is_there(run: Scene) -> None:
    """A run that was over before is what it was."""
    made = record(run.lock, outcome())
    assert outcomes.cancelled(made, "2026-11-23T09:59:00Z") == made


def test_the_estimate_of_a_record_is_the_plans(run: Scene) -> None:
    """Estimated beside measured: the same numbers that the merge request showed."""
    plan = Planner(run.repository).plan("experiments/team-a/plain.yaml")
    found = outcomes.estimated(plan)
    assert (found.gpus, found.gpu_hours_limit) == (1, 8.0)
    assert found.peak_memory_bytes == round(plan.needed)
    assert found.gpu_hours_low is not None
    assert found.gpu_hours_high is not None
    assert 0 <= found.gpu_hours_low <= found.gpu_hours_high
