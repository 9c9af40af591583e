"""A copy of this repository's data as a git repository of its own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
TREES = ("base", "catalog", "environments", "experiments", "overlays", "audit", "tenants")
GIT = ["git", "-c", "user.name=Anna Nowak", "-c", "user.email=anna.nowak@bank.example", "-c", "commit.gpgsign=false"]


@dataclass(frozen=True)
class Checkout:
    """A clone that tests commit to."""

    root: Path

    def git(self, *arguments: str) -> str:
        """Run git and return its output without the last newline."""
        done = subprocess.run([*GIT, *arguments], cwd=self.root, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(self, files: Mapping[str, str | None]) -> str:
        """Write (None: remove) files, commit everything and return the commit."""
        for path, text in files.items():
            file = self.root / path
            if text is None:
                file.unlink()
            else:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "a change")
        return self.git("rev-parse", "HEAD")

    @property
    def head(self) -> str:
        """The commit that is checked out."""
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    """This repository's data on `main`, as the working directory."""
    root = tmp_path / "platform"
    for tree in TREES:
        if (ROOT / tree).is_dir():
            shutil.copytree(ROOT / tree, root / tree)
    made = Checkout(root)
    made.git("init", "--quiet", "--initial-branch=main")
    made.commit({})
    monkeypatch.chdir(root)
    for name in ("CI_MERGE_REQUEST_DIFF_BASE_SHA", "CI_COMMIT_BEFORE_SHA", "CI_MERGE_REQUEST_IID", "GITLAB_USER_ID"):
        monkeypatch.delenv(name, raising=False)
    return made
