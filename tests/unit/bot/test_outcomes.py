"""Outcomes in audit records, from what a cluster and an MLflow answer over HTTP."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from tests.audited import outcome, record, write
from tests.unit.bot.upkeep_scene import STARTED, Scene, scene
from tools.bot.upkeep import outcomes, usage
from tools.bot.upkeep.outcomes import Recorder
from tools.bot.upkeep.told import Told
from tools.expand import audit
from tools.formats.audit import MOST_TOKENS, Measured, Outcome, Registered
from tools.formats.experiment import Passes
from tools.formats.lock import LockedEvaluation
from tools.plan.memory import CUDA_CONTEXT
from tools.plan.planner import Planner
from tools.predict.pairs import pairs
from tools.predict.prediction import middle

GIB = 1 << 30
BEGAN = datetime.fromisoformat("2026-11-23T08:15:00Z").timestamp()
# 90 steps of 40 s in reports of 30, with 3 % of the run after the last one; the GPUs work three quarters of the time.
LOGGED: dict[str, list[tuple[int, float, float]]] = {
    "gpu_utilisation_percent": [(30, BEGAN + 1200, 50.0), (60, BEGAN + 2400, 75.0), (90, BEGAN + 3600, 100.0)],
    "tokens": [(30, BEGAN + 1200, 3000), (60, BEGAN + 2400, 6000), (90, BEGAN + 3600, 9000)],
    "seconds_per_step": [(30, BEGAN + 1200, 44.0), (90, BEGAN + 3600, 40.0)],
    "percent": [(30, BEGAN + 1200, 31.25), (90, BEGAN + 3600, 93.75)],
}


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


def test_an_evaluation_counts_the_gpu_that_it_held(run: Scene) -> None:
    """The publish Job of an evaluated run holds one GPU from its start to its end; without an evaluation it holds none."""
    run.happens("published")
    status = run.watched().status
    assert status is not None
    seen, lock = status.seen, run.lock
    assert lock.run.resources.gpus == 1
    wanted = LockedEvaluation(
        datasets=lock.run.datasets, metrics=["exact_match"], behaviours={}, max_rows=10, max_new_tokens=16,
        time_limit_seconds=3600, passes=Passes(),
    )  # fmt: skip
    evaluated = lock.model_copy(update={"run": lock.run.model_copy(update={"evaluation": wanted})})
    hours = []
    for each in (lock, evaluated):
        found = usage.measured(replace(seen, run=replace(seen.run, lock=each)), Told())
        assert found is not None
        hours.append(found.gpu_hours)
    assert hours == [1.5, round(1.5 + 580 / 3600, usage.HOURS_DIGITS)]


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


def measured(run: Scene) -> Measured:
    """What a round would write of its use."""
    found = ended(run).measured
    assert found is not None
    return found


def test_what_the_runner_logged_stands_beside_the_hours(run: Scene) -> None:
    """A quarter idle, the tokens of the last report, and 96 steps of 40 seconds, which are within the pods' hour and a half."""
    run.happens("published")
    run.logged(version=3, metrics=LOGGED)
    assert measured(run) == Measured(
        gpu_hours=1.5,
        peak_memory_bytes=round(5.5 * GIB),
        idle_share=0.25,
        tokens=9000,
        training_hours=round(96 * 40 / 3600, 4),
    )


def test_a_failed_run_trained_as_long_as_it_reported(run: Scene) -> None:
    """Nobody extrapolates what did not happen: 60 steps of 40 seconds, in pods of 45 minutes."""
    run.happens("training-failed")
    steps = [(30, BEGAN, 40.0), (60, BEGAN + 2400, 40.0)]
    run.logged(version=None, metrics={"seconds_per_step": steps, "percent": [(60, BEGAN + 2400, 62.5)]})
    assert measured(run).training_hours == round(60 * 40 / 3600, 4)


def test_utilisation_of_an_earlier_attempt_is_not_this_ones(run: Scene) -> None:
    """Both attempts log to one MLflow run; what is older than the authorization is left out."""
    run.happens("published")
    old = [(step, BEGAN - 86400 + step, 0.0) for step in range(5)]
    run.logged(version=3, metrics={"gpu_utilisation_percent": [*old, (30, BEGAN, 80.0)]})
    assert measured(run).idle_share == 0.2


@pytest.mark.parametrize("value", [-1.0, 1e300, math.inf, math.nan, -math.inf])
def test_nothing_impossible_is_recorded(run: Scene, value: float) -> None:
    """Who holds the tenant's credential may log anything: no memory, no share, no tokens and no hours come of it, the GPU-hours stay."""
    run.happens("published")
    metrics = {name: [(step, seconds, value) for step, seconds, _ in points] for name, points in LOGGED.items()}
    run.logged(version=3, peaks=(value,), metrics=metrics)
    assert measured(run) == Measured(gpu_hours=1.5, peak_memory_bytes=None)


def test_training_hours_are_at_most_those_of_the_pods(run: Scene) -> None:
    """A thousand hours in pods that ran for an hour and a half are a lie; a step that nobody took is none either."""
    run.happens("published")
    for pace in ([(90, BEGAN, 40_000.0)], [(10**17, BEGAN, 40.0)], [(0, BEGAN, 40.0)], [(-5, BEGAN, 40.0)]):
        run.logged(version=3, metrics={**LOGGED, "seconds_per_step": pace})
        assert measured(run).training_hours is None
    run.logged(version=3, metrics={**LOGGED, "percent": [(90, BEGAN, 1e-9)]})
    assert measured(run).training_hours is None
    run.logged(version=3, metrics={**LOGGED, "tokens": [(1, BEGAN, MOST_TOKENS + 2.0), (2, BEGAN, 7.0)]})
    assert measured(run).tokens == 7


def test_what_mlflow_tells_later_fills_what_is_missing(run: Scene) -> None:
    """MLflow was away at the end: all of it follows, and then nothing changes any more."""
    run.happens("published")
    run.mlflow.status = 503
    first = run.updated()
    assert first is not None
    write(run.platform, first)
    run.mlflow.status = 0
    run.logged(version=3, metrics=LOGGED)
    second = run.updated()
    assert second is not None
    write(run.platform, second)
    assert second.last.outcome is not None
    assert second.last.outcome.measured is not None
    assert second.last.outcome.measured.idle_share == 0.25
    run.logged(version=3, metrics={name: [(90, BEGAN + 3600, 1.0)] for name in LOGGED})
    assert run.updated() is None


def test_a_cancelled_run_is_told_of_by_mlflow_alone(run: Scene) -> None:
    """Its overlay is gone, so the record leads to the run; the hours at most are its bound, and a second look finds nothing new."""
    run.logged(version=None, metrics=LOGGED)
    ended_at = outcomes.cancelled(record(run.lock, at=STARTED), "2026-11-23T09:59:00Z")
    found = Recorder(datetime.fromisoformat("2026-11-23T12:00:00Z"), run.mlflow.url).told_of_cancelled(ended_at, "")
    assert found is not None
    assert found.last.outcome is not None
    assert found.last.outcome.measured == Measured(
        gpu_hours=2.0, peak_memory_bytes=round(5.5 * GIB), idle_share=0.25, tokens=9000, training_hours=1.0
    )
    again = Recorder(datetime.fromisoformat("2026-11-23T13:00:00Z"), run.mlflow.url).told_of_cancelled(found, "")
    assert again is None


def test_price_and_kind_are_those_of_the_plan(run: Scene) -> None:
    """The record needs neither catalogue nor overlay to say what was trained and at what price."""
    plan = Planner(run.repository).plan("experiments/team-a/plain.yaml")
    price, kind = outcomes.price(plan), outcomes.trained(plan)
    assert price is not None
    assert (price.per_gpu_hour, price.currency) == (plan.price, plan.currency)
    assert plan.price > 0
    assert (kind.model, kind.gpu, kind.method) == (plan.lock.run.model.name, plan.device, "lora")


def test_a_finished_run_teaches_the_next_plan(run: Scene) -> None:
    """What the authorization estimated and the outcome measured come back from the written record as one pair."""
    plan = Planner(run.repository).plan("experiments/team-a/plain.yaml")
    made = record(run.lock, at=STARTED)
    made = made.model_copy(update={"estimated": outcomes.estimated(plan), "trained": outcomes.trained(plan)})
    write(run.platform, made)
    run.happens("published")
    run.logged(version=3, metrics=LOGGED)
    updated = run.updated()
    assert updated is not None
    write(run.platform, updated)
    (pair,) = pairs(run.platform)
    assert pair.kind == (plan.device, "lora", plan.lock.run.model.name)
    hours = middle(plan.duration)
    assert hours is not None
    assert math.exp(pair.hours or 0) == pytest.approx(96 * 40 / 3600 / hours, rel=1e-3)
    assert math.exp(pair.memory or 0) == pytest.approx((5.5 * GIB + CUDA_CONTEXT) / plan.needed, rel=1e-3)


def test_a_record_from_before_keeps_its_bytes(run: Scene) -> None:
    """What is not known is not written: none of the later fields stands in it."""
    text = audit.content(record(run.lock, outcome())).decode()
    for name in ("trained", "price", "idle_share", "tokens", "training_hours", "predicted"):
        assert f"{name}:" not in text
