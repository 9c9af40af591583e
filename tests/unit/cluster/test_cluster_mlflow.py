"""MLflow in `ft status`: progress, links, and what happens when it is away."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.unit.cluster.conftest import Scene
from tools.cli import main
from tools.cluster.tracking import remedy

_API = "/api/2.0/mlflow/"


def logged(scene: Scene, *, version: bool = False, percent: float = 42.0, at: int = 1, **figures: float) -> None:
    """Let MLflow know the run `plain`, as the runner logs it; `at`: milliseconds since 1970."""
    values = {
        "progress/percent": percent,
        "progress/eta_seconds": 723.0,
        "loss": 1.2345,
        "progress/tokens_per_second": 850,
        **figures,
    }
    metrics = [{"key": key, "value": value, "timestamp": at, "step": 5} for key, value in values.items()]
    run = {"info": {"run_id": "0a1b"}, "data": {"metrics": metrics, "tags": [{"key": "attempt", "value": "1"}]}}
    scene.mlflow.answers[f"{_API}experiments/get-by-name"] = {"experiment": {"experiment_id": "7"}}
    scene.mlflow.answers[f"{_API}runs/search"] = {"runs": [run]}
    tags = [{"key": "run_sha256", "value": scene.lock().sha256 if version else "another"}]
    scene.mlflow.answers[f"{_API}model-versions/search"] = {"model_versions": [{"version": "3", "tags": tags}]}


def status(scene: Scene, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, Any]:
    """Exit code and the run's JSON."""
    code = main(["status", "team-a/plain", *scene.options(), "--format", "json", *more])
    data = json.loads(capsys.readouterr().out)
    return code, {**data["runs"][0], "notes": data["notes"]}


def test_progress_loss_and_links_are_shown(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """Percent, time left, loss and speed come from the metrics that the runner logs; the link leads to the run."""
    logged(scene)
    scene.happens("running")
    main(["status", "team-a/plain", *scene.options()])
    text = capsys.readouterr().out
    assert "42 %, 0:12:03 left, loss 1.234, 850 tokens/s" in text
    assert f"{scene.mlflow.url}/#/experiments/7/runs/0a1b" in text


def test_time_left_has_its_uncertainty_and_gpus_are_shown(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """What the runner logs of spread, rows and GPUs stands in the same line, and in the JSON."""
    logged(
        scene,
        **{
            "progress/eta_error_seconds": 40.0,
            "progress/samples_per_second": 12.34,
            "progress/gpu_memory_used_gib": 31.25,
            "progress/gpu_utilisation_percent": 98.0,
        },
    )
    scene.happens("running")
    main(["status", "team-a/plain", *scene.options()])
    assert (
        "42 %, 0:12:03 ± 0:00:40 left, loss 1.234, 850 tokens/s, 12.3 samples/s, GPU 31.2 GiB 98 %"
        in capsys.readouterr().out
    )
    main(["status", "team-a/plain", *scene.options(), "--json"])
    tracked = json.loads(capsys.readouterr().out)["runs"][0]["mlflow"]
    assert (tracked["eta_error_seconds"], tracked["gpu_utilisation_percent"], tracked["step"]) == (40.0, 98.0, 5)


@pytest.mark.parametrize(("seconds", "stuck"), [(60, False), (900, True)])
def test_a_run_that_gets_nowhere_is_shown(
    seconds: int, stuck: bool, scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pod that runs while MLflow hears nothing for much longer than its steps take is pointed out."""
    logged(scene, at=round((time.time() - seconds) * 1000), **{"progress/seconds_per_step": 2.0})
    scene.happens("running")
    _, run = status(scene, capsys)
    assert run["phase"] == "running"
    assert ("MLflow has had no step for 0:1" in run["reason"]) is stuck


def test_a_registered_version_is_linked_and_proves_the_end(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """A version with the run's hash means finished, also when the publish Job is gone."""
    logged(scene, version=True, percent=100)
    scene.happens("never-published")
    _, run = status(scene, capsys)
    assert (run["phase"], run["mlflow"]["version"]) == ("finished", 3)
    assert run["mlflow"]["version_url"] == f"{scene.mlflow.url}/#/models/team-a.topics/versions/3"


def test_a_version_of_another_run_proves_nothing(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """Versions of the same model come from many runs; only the full hash counts."""
    logged(scene)
    scene.happens("never-published")
    _, run = status(scene, capsys)
    assert (run["phase"], run["mlflow"]["version"]) == ("publishing", None)


def test_progress_of_an_earlier_attempt_makes_it_a_resumption(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """A run whose training had begun resumes; it does not start."""
    logged(scene)
    scene.happens("no-node")
    assert status(scene, capsys)[1]["phase"] == "resuming"


@pytest.mark.parametrize("code", [401, 403, 500, 503])
def test_mlflow_refusing_is_a_note(code: int, scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """The cluster's part stands without MLflow, and the exit code is the cluster's."""
    scene.mlflow.status = code
    scene.happens("running")
    result, run = status(scene, capsys)
    assert (result, run["phase"], run["mlflow"]) == (0, "running", None)
    assert any(f"refuses: {code}" in note for note in run["notes"])


@pytest.mark.parametrize(
    "body", [b"<html>", [], {"runs": [{}]}, {"runs": [{"info": {"run_id": "x"}, "data": {"metrics": [{}]}}]}]
)
def test_another_program_in_mlflows_place_is_a_note(
    body: Any, scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    """What does not speak MLflow's API is named, not a traceback."""
    logged(scene)
    scene.mlflow.answers[f"{_API}runs/search"] = body
    result, run = status(scene, capsys)
    assert (result, run["mlflow"]) == (0, None)
    assert any(note.startswith("MLflow: ") for note in run["notes"])


def test_before_the_first_step_there_is_nothing_to_say(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """An MLflow that has neither experiment nor run is no fault."""
    _, run = status(scene, capsys)
    assert (run["mlflow"], run["notes"]) == (None, [])


def test_the_login_is_mlflows_own(
    scene: Scene, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLFLOW_TRACKING_USERNAME and _PASSWORD go as basic authentication."""
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "anna")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    status(scene, capsys)
    assert scene.mlflow.asked[0][2]["Authorization"] == "Basic YW5uYTpzZWNyZXQ="


def test_a_name_that_only_the_cluster_knows_comes_with_the_way_there() -> None:
    """A Service is reached from outside by a port-forward."""
    assert "kubectl -n mlplatform port-forward svc/mlflow 5000" in remedy("http://mlflow.mlplatform.svc:5000")
    assert "port-forward" not in remedy("https://mlflow.bank.example")
