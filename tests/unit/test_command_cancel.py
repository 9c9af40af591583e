"""`ft cancel` on files as people write them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tools.cli import main
from tools.commands.cancel import cancelled

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests/fixtures/cancel"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the repository's own files, as the working directory."""
    for folder in ("catalog", "environments", "experiments", "tenants"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*.yaml")), ids=lambda path: path.stem)
def test_only_the_state_changes(path: Path) -> None:
    """Whatever the style of the file, its content is the same afterwards but for the state, and so are its comments."""
    text = path.read_text()
    written = cancelled(text)
    before, after = YAML(typ="safe").load(text), YAML(typ="safe").load(written)
    assert after == {**before, "state": "cancelled"}
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        line for line in written.splitlines() if line.startswith("#")
    ]


def test_the_diff_is_one_line() -> None:
    """A reviewer sees one changed line, with the comment that stood on it."""
    before, after = ((FIXTURES / "commented.yaml").read_text(), cancelled((FIXTURES / "commented.yaml").read_text()))
    changed = [line for line in after.splitlines() if line not in before.splitlines()]
    assert changed == ["state: cancelled          # cancelled stops it, for good"]
    assert len(after.splitlines()) == len(before.splitlines())


def test_windows_line_ends_stay() -> None:
    """A file with CRLF keeps it, in the added line too."""
    text = (FIXTURES / "without-state.yaml").read_text().replace("\n", "\r\n")
    assert cancelled(text) == f"{text}state: cancelled\r\n"


def test_cancelling_says_what_comes_next(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file still validates, and the message names the merge request and that there is no way back."""
    file = "experiments/team-a/exp-001.yaml"
    assert main(["cancel", file]) == 0
    said = capsys.readouterr().out
    assert f"git commit -m 'experiments: cancel exp-001' {file}" in said
    assert "never runs again" in said
    assert main(["validate", file]) == 0
    assert (root / file).read_text().endswith("\nstate: cancelled\n")


def test_cancelling_twice_writes_nothing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The second call leaves the file as it is and says so."""
    file = "experiments/team-a/exp-001.yaml"
    main(["cancel", file])
    before = (root / file).read_bytes()
    assert main(["cancel", file]) == 0
    assert "cancelled already" in capsys.readouterr().out
    assert (root / file).read_bytes() == before


def test_faulty_file_is_not_touched(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file with faults is named with them, and stays as it is."""
    path = root / "experiments/team-a/exp-001.yaml"
    path.write_text(path.read_text() + "stat: active\n")
    before = path.read_bytes()
    assert main(["cancel", str(path)]) == 1
    assert "stat" in capsys.readouterr().out
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["experiments/team-a/no-such.yaml", "tenants/team-a/tenant.yaml", "experiments"])
def test_what_is_no_experiment_is_wrong_usage(name: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only an experiment can be cancelled; the message says how its file is called."""
    assert main(["cancel", str(root / name)]) == 2
    assert "experiments/<tenant>/<name>.yaml" in capsys.readouterr().err
