"""`ft plan` on the repository of fixtures/plan-repository."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tools.cli import main
from tools.expand import overlay
from tools.formats.lock import Authorized
from tools.repository import Repository
from tools.resolve import resolve

FIXTURE = Path(__file__).parents[1] / "fixtures" / "plan-repository"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(FIXTURE, tmp_path / "repository"))


def _plan(root: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    files = [str(root / part) if part.startswith("experiments/") else part for part in arguments]
    code = main(["plan", "--repo", str(root), *files])
    out, err = capsys.readouterr()
    return code, out, err


def _json(root: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(_plan(root, capsys, "--format", "json", *arguments)[1])
    return found


def _authorize(root: Path, name: str, at: str) -> None:
    """Write the overlay of an experiment as the bot would have at that time."""
    repository = Repository(root)
    lock = resolve(repository, "team-a", name, repository.experiment(f"experiments/team-a/{name}.yaml"))
    signed = Authorized(at=at, commit="a" * 40, merge_request=1, approvers=["maria.wisniewska"])
    folder = root / overlay.folder(lock.run)
    folder.mkdir(parents=True)
    for file, content in overlay.files(lock.model_copy(update={"authorized": signed})).items():
        (folder / file).write_bytes(content)


def test_text_has_every_part_with_units(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One experiment's plan names run id, steps, tokens, cut rows, memory with bar and sources, storage, hours, cost, quota and approvals."""
    code, out, _ = _plan(root, capsys, "experiments/team-a/exp-001.yaml")
    assert code == 0
    for expected in (
        "exp-001-",
        "375 (3 epochs of 125)",
        "about 62 (6.2%)",
        "#####",
        "GiB of 79.1 GiB",
        "fits",
        "Korthikanti et al. 2022",
        "checkpoints, 3 x",
        "GPU-hours",
        "cost, PLN",
        "1 of the tenant's approvers",
    ):
        assert expected in out


def test_json_is_complete_and_adds_up(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The parts of the memory add up to the peak, the costs to hours times price, and the keys are those of the docstring."""
    from tools.plan import machine

    (plan,) = _json(root, capsys, "experiments/team-a/exp-001.yaml")
    memory, cost, hours = plan["memory"], plan["cost"], plan["hours"]
    assert sum(part["bytes"] for part in memory["parts"]) == pytest.approx(memory["peak_bytes"], abs=10)
    assert cost["low"] == pytest.approx(hours["low"] * cost["price_per_gpu_hour"])
    assert cost["limit"] == 8 * 18
    assert plan["steps"]["optimisation_steps"] == 375
    assert plan["verdict"] == "fits"
    assert all(key in str(machine.__doc__) for key in plan)


def test_all_without_overlay_are_planned(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without arguments every experiment without an overlay is planned; one with an overlay and a cancelled one are not."""
    _authorize(root, "exp-001", "2026-01-01T00:00:00Z")
    cancelled = root / "experiments/team-a/quantised.yaml"
    cancelled.write_text(cancelled.read_text() + "state: cancelled\n")
    assert [plan["name"] for plan in _json(root, capsys)] == ["exp-002", "full", "on-cpu"]


def test_environment_filters(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--environment keeps what runs there, the tenant's default included."""
    assert [plan["name"] for plan in _json(root, capsys, "--environment", "prod")] == ["on-cpu"]
    assert "exp-001" in [plan["name"] for plan in _json(root, capsys, "--environment", "dev")]


def test_an_overlay_is_planned_from_its_lock(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Named explicitly, an experiment with an overlay keeps the run id of its lock when the environment has a new image."""
    _authorize(root, "exp-001", "2026-01-01T00:00:00Z")
    (before,) = _json(root, capsys, "experiments/team-a/exp-001.yaml")
    environment = root / "environments/dev.yaml"
    environment.write_text(environment.read_text().replace("1" * 64, "9" * 64))
    (after,) = _json(root, capsys, "experiments/team-a/exp-001.yaml")
    assert after["run_id"] == before["run_id"]


def test_quota_counts_this_months_runs(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """GPU-hours of another month do not count, those of a run not signed yet do; GPUs and storage of both do."""
    _authorize(root, "exp-001", "2020-01-01T00:00:00Z")
    (plan,) = _json(root, capsys, "experiments/team-a/exp-002.yaml")
    gpus, hours, storage = plan["quota"]
    assert (gpus["before"], gpus["after"]) == (1, 2)
    assert (hours["before"], hours["after"], hours["allowed"]) == (0, 8, 100)
    assert storage["before"] > 13
    lock = next(root.glob("overlays/*/*/exp-001/run.yaml"))
    lock.write_text("\n".join(_unsigned(lock.read_text())))
    (plan,) = _json(root, capsys, "experiments/team-a/exp-002.yaml")
    assert plan["quota"][1]["before"] == 8


def _unsigned(text: str) -> list[str]:
    """The lines of a lock with `authorized: null`."""
    lines, skipping = [], False
    for line in text.splitlines():
        skipping = line.startswith("authorized:") or (skipping and line.startswith((" ", "-")))
        if line.startswith("authorized:"):
            lines.append("authorized: null")
        elif not skipping:
            lines.append(line)
    return [*lines, ""]


def test_too_large_a_run_says_what_to_change(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All weights of a 7B model do not fit into 79 GiB; LoRA would, and high priority asks for a platform admin."""
    code, out, _ = _plan(root, capsys, "experiments/team-a/full.yaml")
    assert code == 0
    assert "does not fit" in out
    assert "method: lora" in out
    assert "1 platform admin, because priority is high: piotr.admin" in out
    assert "storage" in out
    assert "exceeded" in out


def test_cpu_runs_need_memory_but_no_gpu(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without GPUs the memory is the container's, time is known only as the limit and nothing is charged."""
    (plan,) = _json(root, capsys, "experiments/team-a/on-cpu.yaml")
    assert plan["memory"]["device"] == "CPU container"
    assert plan["hours"]["low"] is None
    assert plan["hours"]["limit"] == 0.5
    assert plan["cost"]["limit"] == 0


def test_difference_is_to_the_nearest_earlier_experiment(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """exp-002 differs from exp-001 in rank and cutoff; the first experiment has nothing before it."""
    _, out, _ = _plan(root, capsys, "experiments/team-a/exp-002.yaml")
    assert "Difference from exp-001" in out
    assert "- train.lora_rank: 8\n    + train.lora_rank: 16" in out
    (first,) = _json(root, capsys, "experiments/team-a/exp-001.yaml")
    assert first["difference"] is None


def test_markdown_escapes_what_people_wrote(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Bars, backticks, mentions and HTML from a file stay text in a comment."""
    file = root / "experiments/team-a/on-cpu.yaml"
    file.write_text(
        file.read_text().replace("max_steps: 5", 'max_steps: 5, default_system: "a | `b` @all <img> [x](y)"')
    )
    code, out, _ = _plan(root, capsys, "--format", "markdown", "experiments/team-a/on-cpu.yaml")
    assert code == 0
    assert r"a \| \`b\` \@all \<img\> \[x\]\(y\)" in out
    assert "@all" not in out.replace(r"\@all", "")
    assert "<img" not in out.replace(r"\<img", "")


def test_an_experiment_with_findings_is_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A fault stops the plan of that experiment alone: exit 1, its name and the count on stderr, the others planned."""
    file = root / "experiments/team-a/exp-002.yaml"
    file.write_text(file.read_text().replace("lora_rank: 16", "lora_rank: sixteen"))
    arguments = ("--format", "json", "experiments/team-a/exp-001.yaml", "experiments/team-a/exp-002.yaml")
    code, out, err = _plan(root, capsys, *arguments)
    assert code == 1
    assert [plan["name"] for plan in json.loads(out)] == ["exp-001"]
    assert "exp-002.yaml: not planned, 1 finding(s); run `ft validate experiments/team-a/exp-002.yaml`" in err


def test_wrong_paths_are_wrong_usage(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is no experiment, or is not there, ends with exit 2 and says so."""
    code, _, err = _plan(root, capsys, str(root / "catalog/gpus.yaml"))
    assert (code, "is no experiment" in err) == (2, True)
    code, _, err = _plan(root, capsys, "experiments/team-a/none.yaml")
    assert (code, "does not exist" in err) == (2, True)


def test_an_unlisted_gpu_type_is_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An environment whose GPU type the catalogue lacks says where to add it."""
    environment = root / "environments/dev.yaml"
    environment.write_text(environment.read_text().replace("h100-80gb", "h900"))
    code, out, err = _plan(root, capsys, "experiments/team-a/exp-001.yaml")
    assert code != 0
    assert "h900" in out + err or "validate" in err


def test_nothing_to_plan_says_so(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With every experiment filtered away the text says that none waits, and json is an empty array."""
    assert "nothing to plan" in _plan(root, capsys, "--environment", "test")[1]
    assert _json(root, capsys, "--environment", "test") == []
