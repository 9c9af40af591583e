"""`python -m ci.changed` against real git repositories."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ci.changed import main

GIT = ["git", "-c", "user.name=Anna Nowak", "-c", "user.email=anna.nowak@bank.example", "-c", "commit.gpgsign=false"]


def git(repository: Path, *arguments: str) -> str:
    """Run git in the repository and return its output without the last newline."""
    return subprocess.run([*GIT, *arguments], cwd=repository, check=True, capture_output=True, text=True).stdout.strip()


def commit(repository: Path, *paths: str) -> str:
    """Write each path with new content, commit everything and return the commit."""
    for path in paths:
        file = repository / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{file.read_text() if file.exists() else ''}another line\n")
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "experiments: another change")
    return git(repository, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one experiment and its overlay, as the working directory, and no variable of GitLab set."""
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    commit(tmp_path, "experiments/team-a/exp-001.yaml", "overlays/dev/team-a/exp-001/run.yaml")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CI_MERGE_REQUEST_DIFF_BASE_SHA", raising=False)
    monkeypatch.delenv("CI_COMMIT_BEFORE_SHA", raising=False)
    return tmp_path


def named(what: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What the command names; each name ends with a NUL byte."""
    assert main([what]) == 0
    text = capsys.readouterr().out
    assert text == "" or text.endswith("\0")
    return text.split("\0")[:-1]


def test_merge_request_names_its_own_experiments(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Added and changed experiments are named, untouched ones and other files are not."""
    monkeypatch.setenv("CI_MERGE_REQUEST_DIFF_BASE_SHA", git(repository, "rev-parse", "HEAD"))
    commit(repository, "experiments/team-a/exp-002.yaml", "experiments/team-a/notes/exp.yaml", "experiments/README.md")
    assert named("experiments", capsys) == ["experiments/team-a/exp-002.yaml"]


def test_push_names_overlay_folders_once(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An overlay with several changed files is one folder, and a tenant's own overlay is no run."""
    monkeypatch.setenv("CI_COMMIT_BEFORE_SHA", git(repository, "rev-parse", "HEAD"))
    folder = "overlays/prod/team-b/exp-007"
    commit(repository, f"{folder}/run.yaml", f"{folder}/kustomization.yaml", "overlays/prod/_tenants/team-b/quota.yaml")
    assert named("overlays", capsys) == [folder]


def test_deleted_files_are_not_named(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A retired overlay and a withdrawn experiment have nothing left to render or plan."""
    monkeypatch.setenv("CI_COMMIT_BEFORE_SHA", git(repository, "rev-parse", "HEAD"))
    git(repository, "rm", "-r", "--quiet", "experiments", "overlays")
    commit(repository, "README.md")
    assert named("experiments", capsys) == []
    assert named("overlays", capsys) == []


def test_names_that_shells_mangle_come_through(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Spaces, quotes, newlines and letters beyond ASCII arrive as they are, for the validator to refuse."""
    monkeypatch.setenv("CI_COMMIT_BEFORE_SHA", git(repository, "rev-parse", "HEAD"))
    hostile = 'experiments/team-a/a "b"\n$(c) ż.yaml'
    commit(repository, hostile)
    assert named("experiments", capsys) == [hostile]


@pytest.mark.parametrize("base", [None, "", "0" * 40, "1" * 40, "--output=stolen"])
def test_without_a_known_base_everything_is_named(
    base: str | None, repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A first pipeline, a schedule or a rewritten history checks all experiments and overlays, never none."""
    if base is not None:
        monkeypatch.setenv("CI_COMMIT_BEFORE_SHA", base)
    commit(repository, "experiments/team-b/exp-002.yaml")
    assert named("experiments", capsys) == ["experiments/team-a/exp-001.yaml", "experiments/team-b/exp-002.yaml"]
    assert named("overlays", capsys) == ["overlays/dev/team-a/exp-001"]
    assert not (repository / "stolen").exists()
