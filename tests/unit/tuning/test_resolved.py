"""What `performance: auto` leaves in the lock, the plan and MLflow, and that other locks keep their bytes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from runner import tracking
from tools.cli import main
from tools.formats.digest import digest
from tools.formats.lock import Lock, LockedRun, is_sealed
from tools.repository import Repository
from tools.resolve import resolve

FIXTURES = Path(__file__).parents[2] / "fixtures" / "plan-repository"
FILE = "experiments/team-a/exp-001.yaml"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of the fixtures' repository whose exp-001 says `performance: auto`."""
    root = Path(shutil.copytree(FIXTURES, tmp_path / "repository"))
    file = root / FILE
    file.write_text(file.read_text() + "performance: auto\n")
    return root


def lock(root: Path) -> Lock:
    """The lock of exp-001."""
    repository = Repository(root)
    return resolve(repository, "team-a", "exp-001", repository.experiment(FILE))


def test_the_lock_holds_the_choice_and_what_was_written(repository: Path) -> None:
    """Settings hold what runs; beside them what the file means by itself, the expected gain and a reason; the same each time."""
    found = lock(repository)
    assert found.run.performance is not None
    assert found.run.settings["disable_gradient_checkpointing"] is True
    assert found.run.performance.as_written["disable_gradient_checkpointing"] is False
    assert found.run.performance.expected_gain > 1
    assert found.run.performance.reasons
    assert found.run.experiment["performance"] == "auto"
    assert is_sealed(found)
    assert lock(repository) == found


def test_as_written_is_left_alone(repository: Path) -> None:
    """Without auto the settings are the author's and the platform's defaults, and the lock has no word of it."""
    shutil.copyfile(FIXTURES / FILE, repository / FILE)
    found = lock(repository)
    assert "disable_gradient_checkpointing" not in found.run.settings
    assert "performance" not in found.run.model_dump(mode="json")
    assert digest(LockedRun.model_validate(found.run.model_dump(mode="json"))) == found.sha256


def test_mlflow_hears_of_it(repository: Path) -> None:
    """The parameters of the run hold the chosen settings, those as written, and the gain that was expected."""
    found = lock(repository)
    params = tracking.params(found)
    assert params["performance.mode"] == "auto"
    assert params["performance.as_written.disable_gradient_checkpointing"] == "false"
    assert params["disable_gradient_checkpointing"] == "true"
    assert float(params["performance.expected_gain"]) > 1
    assert not any(name.startswith("performance") for name in tracking.params(_written(repository)))


def _written(repository: Path) -> Lock:
    shutil.copyfile(FIXTURES / FILE, repository / FILE)
    return lock(repository)


@pytest.mark.parametrize("performance", ["auto", "as-written"])
def test_the_plan_says_what_and_why(repository: Path, performance: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`ft plan` lists each setting that auto changed or would change, and the reasons, as text and as JSON."""
    file = repository / FILE
    file.write_text(file.read_text().replace("performance: auto", f"performance: {performance}"))
    assert main(["plan", "--repo", str(repository), str(repository / FILE)]) == 0
    text = capsys.readouterr().out
    title = "Chosen by performance: auto" if performance == "auto" else "performance: auto would choose"
    assert f"{title}, expected " in text
    assert "disable_gradient_checkpointing" in text
    assert main(["plan", "--repo", str(repository), "--format", "json", str(file)]) == 0
    (plan,) = json.loads(capsys.readouterr().out)
    assert plan["performance"]["chosen"] is (performance == "auto")
    assert plan["performance"]["expected_gain"] > 1
    changes = {change["setting"]: change for change in plan["performance"]["changes"]}
    assert changes["disable_gradient_checkpointing"]["chosen"] is True
    assert plan["performance"]["reasons"]


def test_packing_that_leaks_is_refused(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Under auto `packing: true` is a finding at its place; nothing is planned."""
    file = repository / FILE
    changed = yaml.safe_load(file.read_text())
    changed["train"]["packing"] = True
    file.write_text(yaml.safe_dump(changed))
    assert main(["validate", "--repo", str(repository), str(file)]) == 1
    assert "in which examples see each other" in capsys.readouterr().out
