"""Which files a pipeline's commits add, change or delete, from git and GitLab's predefined variables."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# GitLab sets the first in merge request pipelines only; the second is what the branch pointed to before the push.
BASE_VARIABLES = ("CI_MERGE_REQUEST_DIFF_BASE_SHA", "CI_COMMIT_BEFORE_SHA")


@dataclass(frozen=True)
class Changed:
    """Paths relative to the root, sorted. A renamed file is one removed and one present."""

    present: tuple[str, ...]
    removed: tuple[str, ...]

    @property
    def paths(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.present, *self.removed)


def git(root: Path, *arguments: str) -> str:
    """Run git in `root` and return what it printed; raises `subprocess.CalledProcessError` when it fails."""
    done = subprocess.run(["git", *arguments], cwd=root, check=True, stdout=subprocess.PIPE)
    return done.stdout.decode("utf-8", "surrogateescape")


def base_commit(root: Path, environment: Mapping[str, str]) -> str | None:
    """The commit to compare with; None where GitLab names none that this clone holds.

    That is a branch's first pipeline, a schedule, or a history that was rewritten: whoever gets None looks at everything,
    because too much is checked rather than too little.
    """
    sha = next((environment[name] for name in BASE_VARIABLES if environment.get(name)), None)
    if sha is None:
        return None
    command = ["git", "rev-parse", "--quiet", "--verify", "--end-of-options", f"{sha}^{{commit}}"]
    known = subprocess.run(command, cwd=root, check=False, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return known.stdout.strip() if known.returncode == 0 else None


def changed(root: Path, base: str) -> Changed:
    """What differs between `base` and HEAD."""
    return Changed(_diff(root, base, "d"), _diff(root, base, "D"))


def _diff(root: Path, base: str, select: str) -> tuple[str, ...]:
    listed = git(root, "diff", "-z", "--name-only", "--no-renames", f"--diff-filter={select}", base, "HEAD", "--")
    return tuple(sorted(path for path in listed.split("\0") if path))
