"""`ft status` of a run on several nodes: its JobSet read as the Job that every other run has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.platform_copy import ROOT, copy_platform
from tests.unit.cluster.conftest import Scene
from tests.unit.cluster.standin import read
from tools.cli import main

GANG = ROOT / "tests" / "fixtures" / "cluster" / "gang"


@pytest.fixture
def gang(scene: Scene, tmp_path: Path) -> Scene:
    """The scene's cluster with a run on two nodes."""
    scene.platform = copy_platform(tmp_path / "platform")
    file = scene.platform / "experiments" / "team-a" / "plain.yaml"
    with file.open("a") as text:
        text.write("resources: {gpus: 2, nodes: 2}\n")
    assert main(["expand", str(file), "--repo", str(scene.platform)]) == 0
    assert scene.lock().run.resources.nodes == 2
    return scene


def status(scene: Scene, situation: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The run in `ft status --format json`."""
    scene.api.objects += read(GANG / f"{situation}.yaml", RUN=scene.lock().run_id)
    capsys.readouterr()
    main(["status", "team-a/plain", *scene.options(), "--format", "json"])
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    return dict(run)


def test_a_restarted_gang_is_running_with_all_its_pods(gang: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """Pods of the Job inside; the JobSet's restarts are its failures."""
    run = status(gang, "running", capsys)
    assert run["phase"] == "running"
    assert len(run["pods"]) == 2
    assert (run["job"]["name"], run["job"]["failed"]) == (gang.lock().job_name, 1)


def test_a_failed_gang_says_which_exit_code_ended_it(gang: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """The rank that refused counts, not those that were stopped because of it."""
    run = status(gang, "failed", capsys)
    assert run["phase"] == "failed"
    assert "exit code 3" in run["reason"]
    assert run["cause"] == "data-mismatch"


def test_without_its_jobset_argo_cd_is_waited_for(gang: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """A Job of the same name is not what this run is made of."""
    capsys.readouterr()
    main(["status", "team-a/plain", *gang.options(), "--format", "json"])
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert run["phase"] == "waiting-for-argo"
