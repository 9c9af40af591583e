"""Predictions in plans: from records of fixtures/predictions, laid beside the platform of the plan's tests."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest

from tests.unit.plan.conftest import REPOSITORY
from tools.cli import main
from tools.plan import machine, markdown, memory
from tools.plan.estimate import Plan
from tools.plan.memory import CUDA_CONTEXT, GIB
from tools.plan.planner import Planner
from tools.predict.pairs import Kind, pairs
from tools.predict.prediction import middle
from tools.repository import Repository

AUDIT = Path(__file__).parents[2] / "fixtures" / "predictions" / "audit"
EXP = "experiments/team-a/exp-001.yaml"


@pytest.fixture
def platform(tmp_path: Path) -> Path:
    """The plan's platform, whose runs are over and recorded."""
    root = Path(shutil.copytree(REPOSITORY, tmp_path / "platform"))
    shutil.copytree(AUDIT, root / "audit")
    return root


def plan(root: Path, file: str = EXP) -> Plan:
    """A plan of a repository read anew."""
    return Planner(Repository(root)).plan(file)


def everywhere(root: Path, old: str, new: str) -> None:
    """Change every record."""
    for path in root.glob("audit/*/*/*.yaml"):
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))


def measured(root: Path, name: str, values: list[str]) -> None:
    """Give each record, in turn, another measurement."""
    for path, value in zip(sorted(root.glob("audit/*/*/*.yaml")), values * 5, strict=False):
        lines = [
            f"        {name}: {value}" if line.startswith(f"        {name}: ") else line
            for line in path.read_text().splitlines()
        ]
        path.write_text("\n".join([*lines, ""]))


def test_pairs_are_what_the_records_hold(platform: Path) -> None:
    """Newest first: GPU, method, model, and the logarithms of measured over formulas, the CUDA context counted in."""
    found = pairs(platform)
    assert [(pair.kind, pair.tenant, pair.at) for pair in found[:2]] == [
        (Kind("h100-80gb", "full", "one-b"), "team-a", "2026-11-07T20:00:00Z"),
        (Kind("h100-80gb", "lora", "seven-b"), "team-b", "2026-11-06T20:00:00Z"),
    ]
    assert [math.exp(pair.memory or 0) for pair in found] == pytest.approx([1.1, 1.25, 1.3, 1.25, 1.2], rel=1e-6)
    assert [math.exp(pair.hours or 0) for pair in found] == pytest.approx([0.9, 0.75, 0.7, 0.75, 0.8], rel=1e-6)


def test_past_runs_correct_memory_and_time(platform: Path) -> None:
    """Four runs of the same kind needed about 1.25 of the memory and 0.75 of the time that the formulas say."""
    before, after = plan(REPOSITORY), plan(platform)
    assert before.prediction is not None
    assert after.prediction is not None
    assert (before.prediction.memory.runs, before.prediction.memory.error, before.prediction.seen) == (0, None, 0)
    assert before.needed == memory.total(before.parts)
    assert (after.prediction.memory.runs, after.prediction.seen) == (4, 4)
    assert after.needed == pytest.approx(1.25 * before.needed, rel=0.03)
    assert after.prediction.hours == pytest.approx(0.75 * (middle(before.duration) or 0), rel=0.05)


def test_what_is_learnt_changes_no_lock(platform: Path) -> None:
    """A run that was approved before something was learnt is the same run after: approvals are for the lock's hash."""
    assert plan(platform).lock == plan(REPOSITORY).lock


@pytest.mark.parametrize("logged", ["1", "1000", str(GIB), "9" * 400])
def test_hostile_measurements_never_make_a_run_fit(platform: Path, logged: str) -> None:
    """Tiny peaks in every record leave the verdict as it was; giant ones at most double the need, and break nothing."""
    measured(platform, "peak_memory_bytes", [logged])
    for name in ("exp-001", "full", "quantised"):
        file = f"experiments/team-a/{name}.yaml"
        before, after = plan(REPOSITORY, file), plan(platform, file)
        assert before.needed <= after.needed <= 2 * before.needed * (1 + 1e-9)
        if len(logged) < 20:
            assert (after.verdict, after.needed, after.changes) == (before.verdict, before.needed, before.changes)


def test_torn_linked_and_strange_records_teach_nothing(platform: Path, tmp_path: Path) -> None:
    """What cannot be read is left out, without a fault of the plan; so are failed runs and other formulas."""
    whole = plan(platform).prediction
    folder = platform / "audit/dev/team-a"
    text = (folder / "exp-101-11111111.yaml").read_text()
    (folder / "exp-201-00000001.yaml").write_text(text[: text.index("training_hours") - 200])
    (folder / "exp-202-00000002.yaml").symlink_to(tmp_path / "nowhere")
    (folder / "exp-203-00000003.yaml").write_bytes(b"\xff\xfe\x00")
    (folder / "exp-204-00000004.yaml").write_text(text.replace("result: finished", "result: failed"))
    (folder / "exp-205-00000005.yaml").write_text(text.replace("formulas: 1\n", "formulas: 9\n"))
    (folder / "exp-206-00000006.yaml").write_text(text.replace("gpu: h100-80gb", "gpu: null"))
    (folder / "exp-207-00000007.yaml").mkdir()
    (platform / "audit/dev/team-c").symlink_to(AUDIT / "dev/team-a")
    assert plan(platform).prediction == whole


def test_hours_that_are_no_numbers_teach_nothing(platform: Path) -> None:
    """Nor do no hours at all, or endlessly many; memory is learnt all the same."""
    measured(platform, "training_hours", ["1.2.3", "-", "e", "0.0", "1.0e+999"])
    found = plan(platform).prediction
    assert found is not None
    assert (found.time.runs, found.memory.runs) == (0, 4)


def test_other_formulas_begin_to_learn_anew(platform: Path) -> None:
    """What was measured against other formulas says nothing of these."""
    everywhere(platform, "    formulas: 1\n", "    formulas: 2\n")
    assert plan(platform).prediction == plan(REPOSITORY).prediction


def test_without_gpus_nothing_is_predicted(platform: Path) -> None:
    """No formula knows a CPU's speed."""
    assert plan(platform, "experiments/team-a/on-cpu.yaml").prediction is None


def test_every_report_shows_it(platform: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Text, JSON and Markdown: what is expected, how sure it is, from how many runs; `not seen before` where from none."""
    assert main(["plan", str(REPOSITORY / EXP), "--repo", str(REPOSITORY)]) == 0
    assert capsys.readouterr().out.count("not seen before") == 2
    assert main(["plan", str(platform / EXP), "--repo", str(platform)]) == 0
    out = capsys.readouterr().out
    assert "4 finished runs of seven-b, lora, h100-80gb; formulas alone: " in out
    assert "learnt" in out
    data = json.loads(machine.report([plan(platform)]))[0]["prediction"]
    assert (data["memory"]["runs"], data["memory"]["group"], data["seen"]) == (4, ["h100-80gb", "lora", "seven-b"], 4)
    assert data["memory"]["expected"] > data["memory"]["formula"]
    assert data["time"]["expected"] < data["time"]["formula"]
    assert "4 finished runs" in markdown.report([plan(platform)])


def test_the_cuda_context_is_part_of_what_a_gpu_holds(platform: Path) -> None:
    """A run whose log is the formulas' peak without the context needs no correction."""
    for path in platform.glob("audit/*/*/*.yaml"):
        text = path.read_text()
        peak = int(text.partition("formula_peak_bytes: ")[2].partition("\n")[0])
        logged = text.partition("        peak_memory_bytes: ")[2].partition("\n")[0]
        changed = text.replace(
            f"        peak_memory_bytes: {logged}", f"        peak_memory_bytes: {round(peak - CUDA_CONTEXT)}"
        )
        path.write_text(changed)
    found = plan(platform).prediction
    assert found is not None
    assert found.memory.factor == pytest.approx(1, abs=1e-6)
