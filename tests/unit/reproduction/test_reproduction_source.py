"""Where `ft reproduce` finds a run's lock: the overlay, git's history, or nowhere, with what to do then."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.platform_copy import copy_platform
from tools.cli import main
from tools.errors import UsageError
from tools.formats.lock import Lock
from tools.repository import Repository
from tools.reproduction import source

OVERLAY = "overlays/dev/team-a/plain"


def git(root: Path, *arguments: str) -> None:
    """Call git as somebody."""
    who = ["-c", "user.name=Bot", "-c", "user.email=bot@bank.example", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *arguments], cwd=root, check=True)


@pytest.fixture
def platform(tmp_path: Path) -> Path:
    """A committed platform with one run."""
    root = copy_platform(tmp_path / "platform")
    assert main(["expand", str(root / "experiments/team-a/plain.yaml"), "--repo", str(root)]) == 0
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "a run")
    return root


def lock_of(root: Path) -> Lock:
    """The run's lock while its overlay is there."""
    return Repository(root).lock(f"{OVERLAY}/run.yaml")


def test_an_overlay_is_taken_as_it_is(platform: Path) -> None:
    """While the run has an overlay its lock comes from there."""
    lock = lock_of(platform)
    found = source.find(Repository(platform), lock.run_id)
    assert (found.lock, found.place) == (lock, f"{OVERLAY}/run.yaml")


def test_a_retired_run_is_found_in_any_branch(platform: Path) -> None:
    """The commit that held it may be of another branch, as deployed/<env> is; the answer names it."""
    lock = lock_of(platform)
    git(platform, "branch", "deployed/dev")
    git(platform, "checkout", "-q", "--orphan", "main-without-it")
    git(platform, "rm", "-rqf", "overlays")
    git(platform, "commit", "-q", "-m", "without it")
    found = source.find(Repository(platform), lock.run_id)
    assert found.lock == lock
    assert found.place.endswith(f":{OVERLAY}/run.yaml")


def test_a_lock_that_was_changed_after_sealing_is_none(platform: Path) -> None:
    """Neither in the tree nor in a commit: its hash is not that of its content."""
    lock = lock_of(platform)
    file = platform / OVERLAY / "run.yaml"
    file.write_text(file.read_text().replace("learning_rate: ", "learning_rate: 1", 1))
    shutil.rmtree(platform / ".git")
    git(platform, "init", "-q")
    git(platform, "add", "-A")
    git(platform, "commit", "-q", "-m", "a forged run")
    with pytest.raises(UsageError, match="no overlay has the run id"):
        source.find(Repository(platform), lock.run_id)


def test_half_a_history_is_said_to_be_half(platform: Path, tmp_path: Path) -> None:
    """A shallow clone may lack the commit: the message says how to get the rest."""
    lock = lock_of(platform)
    git(platform, "rm", "-rq", "overlays")
    git(platform, "commit", "-q", "-m", "retire it")
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", "--depth=1", f"file://{platform}", clone], check=True)
    with pytest.raises(UsageError, match="git fetch --unshallow"):
        source.find(Repository(clone), lock.run_id)


@pytest.mark.parametrize("name", ["plain", "../plain-0badc0de", "plain-0badc0de\n", "-0badc0de", "plain-0BADC0DE"])
def test_what_is_no_run_id_is_refused(platform: Path, name: str) -> None:
    """Before anything is looked for."""
    with pytest.raises(UsageError, match="is no run id"):
        source.find(Repository(platform), name)
