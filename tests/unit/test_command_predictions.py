"""`ft predictions`: predicted beside measured, for the runs of fixtures/predictions."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.unit.plan.conftest import REPOSITORY
from tools.cli import main
from tools.expand import audit
from tools.repository import Repository

AUDIT = Path(__file__).parents[1] / "fixtures" / "predictions" / "audit"


@pytest.fixture
def platform(tmp_path: Path) -> Path:
    """The plan's platform with five finished runs."""
    root = Path(shutil.copytree(REPOSITORY, tmp_path / "platform"))
    shutil.copytree(AUDIT, root / "audit")
    return root


def asked(root: Path, capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, Any]:
    """What the command prints as JSON."""
    capsys.readouterr()
    assert main(["predictions", *words, "--format", "json", "--repo", str(root)]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_fixture_records_are_as_the_bot_writes_them(platform: Path) -> None:
    """The estimate holds what the formulas said and what was shown, in the format's order."""
    for path in platform.glob("audit/*/*/*.yaml"):
        found = audit.read(Repository(platform), path.relative_to(platform).as_posix())
        assert found.value is not None
        assert audit.content(found.value) == path.read_bytes()


def test_each_run_and_each_model_on_a_gpu(platform: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The last run was predicted from earlier ones and is 2 % off; two before it knew too few and miss their goals."""
    found = asked(platform, capsys)
    last = next(run for run in found["runs"] if run["run_id"].startswith("exp-104"))
    assert last["memory_error"] == pytest.approx(1.22 / 1.25 - 1, rel=1e-3)
    assert last["hours_error"] == pytest.approx(0.78 / 0.75 - 1, rel=1e-3)
    groups = {(group["model"], group["seen"]): group for group in found["groups"]}
    assert groups.keys() == {("one-b", False), ("seven-b", False), ("seven-b", True)}
    seen = groups["seven-b", True]
    assert (seen["memory"]["runs"], seen["memory"]["goal"], seen["memory"]["within_goal"]) == (3, 0.10, 1)
    assert (seen["hours"]["goal"], seen["hours"]["within_goal"]) == (0.15, 1)
    assert seen["memory"]["median_error"] == pytest.approx(1 - 1 / 1.25, rel=1e-3)
    assert seen["memory"]["p90_error"] == pytest.approx(1 - 1 / 1.3, rel=1e-3)
    assert groups["seven-b", False]["memory"]["goal"] == 0.20


def test_what_was_not_measured_is_listed_without_an_error(platform: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """MLflow was away: the prediction stands there alone and counts for no group."""
    path = platform / "audit/dev/team-a/exp-105-55555555.yaml"
    lines = [line for line in path.read_text().splitlines() if not line.startswith("        training_hours")]
    lines = ["        peak_memory_bytes: null" if line.startswith("        peak_") else line for line in lines]
    path.write_text("\n".join([*lines, ""]))
    found = asked(platform, capsys)
    run = next(run for run in found["runs"] if run["model"] == "one-b")
    assert (run["memory_measured_bytes"], run["memory_error"], run["hours_error"]) == (None, None, None)
    group = next(group for group in found["groups"] if group["model"] == "one-b")
    assert (group["memory"]["runs"], group["memory"]["median_error"]) == (0, None)


def test_text_csv_and_markdown_list_the_same_runs(platform: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two tables for people, the runs alone for a spreadsheet."""
    runs = asked(platform, capsys)["runs"]
    assert main(["predictions", "--format", "csv", "--repo", str(platform)]) == 0
    listed = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["run_id"] for row in listed] == [run["run_id"] for run in runs]
    for form in ("text", "markdown"):
        assert main(["predictions", "--format", form, "--repo", str(platform)]) == 0
        out = capsys.readouterr().out
        assert all(run["run_id"] in out for run in runs)
        assert "1 of 3 (10%)" in out or r"1 of 3 \(10\%\)" in out


def test_a_broken_record_is_named(platform: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 1, its file and the reason; the others are there."""
    path = platform / "audit/dev/team-a/exp-105-55555555.yaml"
    path.write_text(path.read_text().replace("seen: 0", "seen: -1"))
    assert len(asked(platform, capsys, "--tenant", "team-a", code=1)["runs"]) == 2
    assert main(["predictions", "--repo", str(platform)]) == 1
    assert "exp-105-55555555.yaml:" in capsys.readouterr().err


def test_records_without_predictions_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """Those from before, and runs on a CPU."""
    ledger = Path(__file__).parents[1] / "fixtures" / "ledger"
    assert asked(ledger, capsys) == {"runs": [], "groups": [], "broken": []}
    assert main(["predictions", "--repo", str(ledger)]) == 0
