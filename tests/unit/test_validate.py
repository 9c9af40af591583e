"""`ft validate`: which files it looks at, what it prints and how it exits."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.unit.rules.expectations import FIXTURES
from tools.cli import main
from tools.reporters import REPORTERS
from tools.repository import Repository
from tools.rules.kinds import place_of
from tools.validate import files


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A copy of the fixture repository."""
    return Path(shutil.copytree(FIXTURES / "repository", tmp_path / "repository"))


def run(root: Path, *arguments: str | Path) -> int:
    """Call `ft validate` on a repository."""
    return main(["validate", "--repo", str(root), *map(str, arguments)])


def test_a_clean_repository_is_fine(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without paths every file is checked; no findings are exit code 0."""
    assert run(root) == 0
    assert capsys.readouterr().out == "22 files: no findings\n"


def test_every_kind_of_file_is_checked(root: Path) -> None:
    """All that people write is looked at, nothing generated, hidden or fixed."""
    (root / "experiments" / "team-a" / ".gitkeep").touch()
    found = files(Repository(root), [])
    assert {place.kind for file in found if (place := place_of(file))} == {
        "experiment", "tenant", "dataset", "behaviour", "model", "environment", "platform", "gpus"
    }  # fmt: skip
    assert not [file for file in found if file.startswith(("overlays", "base")) or "/." in file]
    assert found == sorted(found)


def test_an_error_exits_1_and_a_warning_0(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Warnings are printed but fail nothing."""
    folder = root / "experiments" / "team-a"
    shutil.copy(FIXTURES / "rules" / "priority" / "bad-high.yaml", folder / "warned.yaml")
    assert run(root) == 0
    assert "warned.yaml:11:11: warning priority: " in capsys.readouterr().out
    shutil.copy(FIXTURES / "mixed" / "eight-faults.yaml", folder / "faulty.yaml")
    assert run(root) == 1
    assert "23 files" not in capsys.readouterr().out


def test_only_the_named_files_are_checked_each_once(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files and folders can be given, also overlapping ones."""
    folder = root / "experiments" / "team-a"
    shutil.copy(FIXTURES / "mixed" / "eight-faults.yaml", folder / "faulty.yaml")
    assert run(root, root / "experiments" / "team-b", root / "tenants") == 0
    assert capsys.readouterr().out == "10 files: no findings\n"
    assert run(root, folder, folder / "faulty.yaml", "--format", "json") == 1
    assert len(json.loads(capsys.readouterr().out)) == 8


def test_the_root_as_a_path_is_everything(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`ft validate .` in the root is `ft validate`."""
    assert run(root, root) == 0
    assert capsys.readouterr().out == "22 files: no findings\n"


@pytest.mark.parametrize(
    "path",
    [
        "experiments/team-a/missing.yaml",
        "README.md",
        "base/training/v1/kustomization.yaml",
        "base",
        "overlays/dev/team-a/exp-001/run.yaml",
        "tenants/team-a/notes.txt",
        "../outside.yaml",
    ],
)
def test_a_path_of_no_known_kind_is_wrong_usage(path: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What does not exist, is generated, or lies elsewhere is exit code 2 with a message, never a silent pass."""
    (root / "tenants" / "team-a" / "notes.txt").touch()
    (root.parent / "outside.yaml").touch()
    assert run(root, root / path) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("ft validate: ")


def test_an_unknown_format_is_wrong_usage(root: Path) -> None:
    """Only the reporters of the table can be asked for."""
    assert run(root, "--format", "html") == 2


def test_a_path_outside_any_repository_is_wrong_usage(tmp_path: Path) -> None:
    """A folder that is no repository is said to be none."""
    assert main(["validate", "--repo", str(tmp_path)]) == 2


def test_a_repository_without_experiments_is_fine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing to check is nothing wrong."""
    for folder in ("tenants", "catalog"):
        (tmp_path / folder).mkdir()
    assert run(tmp_path) == 0
    assert capsys.readouterr().out == "0 files: no findings\n"


@pytest.mark.parametrize("name", REPORTERS)
def test_a_report_can_go_to_a_file(name: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --output the report is in the file, and the findings as text on the terminal."""
    shutil.copy(FIXTURES / "mixed" / "eight-faults.yaml", root / "experiments" / "team-a" / "faulty.yaml")
    report = root / "report"
    assert run(root, "--format", name, "--output", report) == 1
    assert "train-unknown-key" in report.read_text()
    assert capsys.readouterr().out.endswith("23 files: 8 errors and 0 warnings in 1\n")


def test_a_report_that_cannot_be_written_is_a_fault_of_the_tool(root: Path) -> None:
    """A missing folder for --output is exit code 3, not a finding."""
    assert run(root, "--output", root / "missing" / "report") == 3


def test_a_file_name_that_is_no_utf_8_is_reported(root: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """Bytes that no terminal can show are printed escaped."""
    path = os.fsencode(root / "experiments" / "team-a") + b"/exp-\xff.yaml"
    Path(os.fsdecode(path)).write_text("version: 1\n")
    for name in REPORTERS:
        assert run(root, "--format", name) == 1
    assert b"\xff" not in capfdbinary.readouterr().out


def test_paths_are_found_from_the_working_directory(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The repository is the one around the working directory, and relative paths are relative to that."""
    monkeypatch.chdir(root / "experiments" / "team-a")
    assert main(["validate", "exp-002.yaml", "../team-b"]) == 0
    assert main(["validate", "exp-003.yaml"]) == 2


def test_a_broken_catalogue_entry_is_reported_where_it_is_used(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An experiment cannot pass because the file that would refuse it cannot be read."""
    (root / "catalog" / "models" / "smollm2-135m-instruct.yaml").write_text("version: 1\n")
    assert run(root, root / "experiments" / "team-b") == 1
    assert "ft validate catalog/models/smollm2-135m-instruct.yaml" in capsys.readouterr().out


def test_hours_of_locks_count_against_the_month(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Runs that wait for their authorization use the month's hours up; finished months do not."""
    lock = (root / "overlays/dev/team-a/exp-001/run.yaml").read_text()
    start = lock.index("authorized:")
    waiting = lock[:start] + "authorized: null\n" + lock[lock.index("run:\n") :]
    for number in range(62):
        folder = root / "overlays" / "dev" / "team-a" / f"waiting-{number}"
        folder.mkdir()
        (folder / "run.yaml").write_text(waiting)
    assert run(root, root / "experiments") == 0
    out = capsys.readouterr().out
    assert (
        "exp-002.yaml:23:15: warning gpu-hours: 8 GPU-hours on top of 496 this month in dev; allowed: at most 500"
        in out
    )
    assert "exp-001" not in out


def test_the_next_free_name_is_offered(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A changed experiment is to be copied to a name that neither a file nor an overlay has."""
    path = root / "experiments" / "team-a" / "exp-001.yaml"
    path.write_text(path.read_text().replace("lora_rank: 16", "lora_rank: 64"))
    (root / "overlays" / "dev" / "team-a" / "exp-003").mkdir()
    assert run(root, path) == 1
    assert "copy it to experiments/team-a/exp-004.yaml" in capsys.readouterr().out
