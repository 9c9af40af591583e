"""The comment after the merge: each state of a run as its reader sees it, from a real HTTP cluster and MLflow stand-in."""

from __future__ import annotations

import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.unit.bot.reporting import ROOT, request
from tests.unit.cluster.conftest import Scene, authorized, scene
from tests.unit.cluster.test_cluster_mlflow import logged
from tests.unit.formats.test_evaluation import made
from tools.bot.report.chart import loss_chart, thinned
from tools.bot.report.following import Promise, Seen, follow
from tools.bot.report.following_text import closed, comment, headline, nothing
from tools.bot.report.text import MARKER
from tools.cluster.client import Cluster
from tools.cluster.faults import ClusterFault, Unreachable
from tools.formats.evaluation import RESULT_TAG, TAG, tag
from tools.repository import Repository

__all__ = ["authorized", "scene"]

_API = "/api/2.0/mlflow/"
NOW = datetime(2026, 11, 23, 10, 15, tzinfo=UTC)
LOG = ROOT / "tests" / "fixtures" / "following" / "out-of-memory.log"
AUDIT = ROOT / "tests" / "fixtures" / "merge-requests" / "audit.yaml"


def promise(scene: Scene, name: str = "plain") -> Promise:
    """What the comment of the merge request had shown."""
    lock = scene.lock(name)
    return Promise("dev", "team-a", name, lock.run_id, lock.sha256)


def seen(scene: Scene, *names: str) -> list[Seen]:
    """The runs as they stand in the stand-ins."""

    def connect(_: str) -> Cluster | ClusterFault:
        return Cluster.connect(scene.kubeconfig)

    promises = [promise(scene, name) for name in names or ("plain",)]
    return follow(Repository(scene.platform), promises, connect, scene.mlflow.url)


def said(runs: list[Seen]) -> str:
    """The comment."""
    return comment(request(state="merged", merge_commit_sha="c3" * 20), runs, NOW)


def curve(scene: Scene, points: int = 200) -> None:
    """Let MLflow have a loss for every tenth step; the first one twice, as after a resumption, and one not finite."""
    values = [
        {"key": "loss", "value": 2.5 - step / 1000, "timestamp": step, "step": step} for step in range(10, points, 10)
    ]
    doubled = {**values[0], "value": 9.0}
    broken = {**values[0], "step": points, "value": "NaN"}
    scene.mlflow.answers[f"{_API}metrics/get-history"] = {"metrics": [doubled, *values, broken]}


@pytest.mark.parametrize(
    ("situation", "state", "words"),
    [
        ("not-applied", "authorized", "authorized, about to start"),
        ("kueue-pending", "queued", "queued"),
        ("no-node", "queued", "queued"),
        ("running", "running", "training"),
        ("resuming", "running", "training"),
        ("publishing", "publishing", "merging and registering"),
        ("finished", "registered", "finished"),
        ("out-of-memory", "failed", "failed"),
    ],
)
def test_each_situation_has_its_state(situation: str, state: str, words: str, scene: Scene) -> None:
    """The phases of `ft status` become the states that comment, verdicts and audit share."""
    scene.happens(situation)
    (run,) = seen(scene)
    assert run.state == state
    assert said([run]).splitlines()[1].endswith(words)


def test_a_running_run_shows_percent_time_left_and_a_loss_chart(scene: Scene) -> None:
    """While it trains: a bar, the time left, and a Mermaid chart of numbers alone; the link leads to MLflow."""
    scene.happens("running")
    logged(scene)
    curve(scene)
    body = said(seen(scene))
    assert "### ⏳ `team-a/plain`: training, 42 %" in body
    assert "`█████████████░░░░░░░░░░░░░░░░░` 42 %, 0:12:03 left, loss 1.234, 850 tokens/s" in body
    assert "```mermaid\nxychart-beta\n" in body
    assert '    x-axis "step" 10 --> 190\n' in body
    assert f"{scene.mlflow.url}/#/experiments/7/runs/0a1b" in body
    assert "✅ | ✅ | ⏳" in body


def test_an_evaluation_is_shown_with_its_table(scene: Scene) -> None:
    """The stage has the verdict's mark; models, differences, failed behaviours and reasons stand below it, escaped."""
    scene.happens("finished")
    logged(scene, version=True, percent=100)
    found = made(run_id=scene.lock().run_id, run_sha256=scene.lock().sha256, notes=["| @all <b>"])
    scene.mlflow.answers[f"{_API}model-versions/search"]["model_versions"][0]["tags"] += [
        {"key": TAG, "value": "failed"},
        {"key": RESULT_TAG, "value": tag(found)},
    ]
    body = said(seen(scene))
    assert "| ✅ | ✅ | ✅ | ✅ | ❌ | ✅ |" in body
    assert "**Evaluation:** ❌ failed, decided by " in body
    assert "version 4" in body
    assert "worse than the champion" in body
    assert "- `\\| @all <b>`" in body  # as code: no mention, no tag, and no cell of a table


def test_an_evaluation_of_another_run_is_not_shown(scene: Scene) -> None:
    """A tag that was copied from another version says nothing about this one."""
    scene.happens("finished")
    logged(scene, version=True, percent=100)
    tags = scene.mlflow.answers[f"{_API}model-versions/search"]["model_versions"][0]["tags"]
    tags.append({"key": RESULT_TAG, "value": tag(made())})
    body = said(seen(scene))
    assert "none recorded" in body
    assert "**Evaluation:**" not in body


def test_a_registered_model_is_linked(scene: Scene) -> None:
    """At the end the headline names the version, and the table leads to it; the chart folds away."""
    scene.happens("finished")
    logged(scene, version=True, percent=100)
    curve(scene)
    scene.mlflow.answers[f"{_API}runs/get"] = {
        "run": {"data": {"metrics": [{"key": "eval/accuracy", "value": 0.912}, {"key": "loss", "value": 1}]}}
    }
    body = said(seen(scene))
    assert "### ✅ `team-a/plain`: registered as `team-a.topics` version 3" in body
    assert f"{scene.mlflow.url}/#/models/team-a.topics/versions/3" in body
    assert "| **Evaluated** | eval/accuracy 0.912 |" in body
    assert "<details><summary>Training loss</summary>" in body
    assert "The run is over; this comment stays." in body


def test_publishing_shows_which_steps_are_done(scene: Scene) -> None:
    """The publish pod's own events say that the merge is done; what comes next is going on."""
    scene.happens("publishing")
    pods = [item for item in scene.api.objects if item["kind"] == "Pod"]
    name = pods[-1]["metadata"]["name"]
    log = '{"event": "step", "name": "merge", "skipped": false}\nno JSON\n[1]\n'
    scene.api.answers[f"/api/v1/namespaces/team-a-training/pods/{name}/log"] = log.encode()
    body = said(seen(scene))
    assert "| authorized | queued | training | merged | evaluated | registered |" in body
    assert "| ✅ | ✅ | ✅ | ✅ | ⏳ | · |" in body


def test_a_failed_run_shows_the_logs_end_the_cause_and_the_remedy(scene: Scene) -> None:
    """The runner's own cause and remedy stand above the last lines of its log."""
    scene.happens("out-of-memory")
    pod = f"{scene.lock().run_id}-a1-p1"
    scene.api.answers[f"/api/v1/namespaces/team-a-training/pods/{pod}/log"] = LOG.read_bytes()
    body = said(seen(scene))
    assert "### ❌ `team-a/plain`: failed" in body
    assert "**Why:** out of memory\\: 78\\.90 GiB of GPU memory measured" in body
    assert "\\(training failed\\: PodFailurePolicy, exit code 4\\: out of memory\\)" in body
    assert "**Next:** lower per\\_device\\_train\\_batch\\_size or cutoff\\_len" in body
    assert "│ torch.OutOfMemoryError: CUDA out of memory." in body
    assert "| **Cause** | [out-of-memory](" in body
    assert "docs/failures.md" in body


def test_log_lines_stay_in_their_block(scene: Scene) -> None:
    """Fences, quick actions and mentions of a log are shown and do nothing."""
    scene.happens("out-of-memory")
    pod = f"{scene.lock().run_id}-a1-p1"
    scene.api.answers[f"/api/v1/namespaces/team-a-training/pods/{pod}/log"] = LOG.read_bytes()
    body = said(seen(scene))
    block = body.split("```text\n")[1].split("\n```\n")[0].splitlines()
    assert len(block) == len(LOG.read_text().splitlines())
    assert all(line.startswith("│ ") for line in block)
    assert "\n/approve" not in body
    assert "\u202e" not in body


def test_a_log_that_is_gone_leaves_the_reason(scene: Scene) -> None:
    """Without the log the exit code still says what happened and what to do."""
    scene.happens("out-of-memory")
    body = said(seen(scene))
    assert "out of memory" in body
    assert "the log cannot be read" in body


def test_without_a_cluster_mlflow_tells_what_it_knows(scene: Scene) -> None:
    """A bot that reaches no cluster follows a run by MLflow alone, and says so."""
    logged(scene)
    found = follow(
        Repository(scene.platform), [promise(scene)], lambda _: Unreachable("not configured"), scene.mlflow.url
    )
    assert found[0].state == "running"
    assert "this is what git and MLflow know" in said(found)


def test_mlflow_away_is_a_note(scene: Scene) -> None:
    """The state comes from the cluster; that MLflow is away is said below it."""
    scene.happens("running")
    scene.mlflow.status = 503
    body = said(seen(scene))
    assert "### ⏳ `team-a/plain`: training" in body
    assert "_Note:_ " in body


def test_a_run_that_git_does_not_have_waits(scene: Scene) -> None:
    """Merged and not yet authorized: it waits for the bot. A lock of another content is another run."""
    other = Promise("dev", "team-a", "plain", "plain-00000000", "0" * 64)
    (run,) = follow(Repository(scene.platform), [other], lambda _: Unreachable(""), scene.mlflow.url)
    assert run.state == "waiting"
    assert "waits for the bot" in headline([run])


def retired(scene: Scene, platform: Path, was: Promise) -> tuple[Path, str]:
    """A copy of the platform without the overlay: where the run's record goes, and its text but for the experiment."""
    shutil.copytree(scene.platform, platform)
    shutil.rmtree(platform / "overlays" / "dev" / "team-a" / "plain")
    record = platform / "audit" / "dev" / "team-a" / f"{was.run_id}.yaml"
    record.parent.mkdir(parents=True)
    return record, AUDIT.read_text().replace("RUN_ID", was.run_id).replace("SHA256", was.sha256)


def test_an_outcome_outlives_the_overlay(scene: Scene, tmp_path: Path) -> None:
    """Once the overlay is retired, the audit record tells how it ended, with measured beside estimated."""
    was = promise(scene)
    record, text = retired(scene, tmp_path / "platform", was)
    record.write_text(text.replace("experiment: exp-003", "experiment: plain"))
    found = follow(Repository(tmp_path / "platform"), [was], lambda _: Unreachable(""), scene.mlflow.url)
    assert found[0].state == "failed"
    body = said(found)
    assert "0.25 GPU-hours (at most 8.0 were allowed), 79.1 GiB peak memory (estimated 16.2 GiB)" in body
    assert "maria\\.wisniewska; [audit record]" in body


def test_what_the_run_logged_stands_beside_what_was_expected(scene: Scene, tmp_path: Path) -> None:
    """How idle its GPUs were and how long it trained, where the record has them."""
    was = promise(scene)
    record, text = retired(scene, tmp_path / "platform", was)
    text = text.replace("experiment: exp-003", "experiment: plain")
    predicted = "{formulas: 1, formula_peak_bytes: 1, peak_bytes: 1, formula_hours: 0.4, hours: 0.5, seen: 3}"
    text = text.replace("attempts:\n", f"  predicted: {predicted}\nattempts:\n")
    logged_too = ", idle_share: 0.125, training_hours: 0.25}"
    record.write_text(re.sub(r"(measured: \{.*)\}", rf"\1{logged_too}", text))
    body = said(follow(Repository(tmp_path / "platform"), [was], lambda _: Unreachable(""), scene.mlflow.url))
    assert "GPUs idle for 12% of the training, trained for 15 min (expected 30 min)" in body


def test_several_runs_are_summed_up_worst_first(scene: Scene) -> None:
    """One line counts them by state; the failed one comes first."""
    scene.happens("out-of-memory")
    scene.happens("running", "adapter-only")
    body = said(seen(scene, "adapter-only", "plain"))
    assert "### ❌ 2 runs: 1 failed, 1 " in body
    assert body.index("team-a/plain") < body.index("team-a/adapter-only")


def test_closed_and_empty_merge_requests_say_so() -> None:
    """Closed: nothing starts. Merged without experiments: nothing was to start."""
    assert closed(request(state="closed")).startswith(f"{MARKER}\n### Closed without a merge: nothing starts")
    assert "### ✅ Merged: no training was to start" in nothing(request(state="merged"))


@pytest.mark.parametrize("curve", [[], [(1, 2.0)]])
def test_no_chart_of_less_than_two_points(curve: list[tuple[int, float]]) -> None:
    """A line has two ends."""
    assert loss_chart(curve) == []


def test_a_chart_is_thinned_to_even_spans() -> None:
    """Ten thousand steps become fifty means; a gap repeats the last one, a flat line keeps an axis of some height."""
    assert thinned([(step, float(step)) for step in range(10_000)])[:2] == [99.5, 299.5]
    assert thinned([(0, 1.0), (1, 2.0), (9, 3.0)]) == [1.5, 1.5, 3.0]
    assert 'y-axis "loss" 0.95 --> 1.05' in "\n".join(loss_chart([(0, 1.0), (5, 1.0)]))
