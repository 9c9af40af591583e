"""A small platform of its own for each test: tests/fixtures/expand-repo with this repository's base."""

from __future__ import annotations

import shutil
from pathlib import Path

from tools.cli import main

ROOT = Path(__file__).resolve().parent.parent
FIXTURE = ROOT / "tests" / "fixtures" / "expand-repo"
# Every experiment of the fixture: its overlay.
OVERLAYS = {
    "experiments/team-a/plain.yaml": "overlays/dev/team-a/plain",
    "experiments/team-a/adapter-only.yaml": "overlays/dev/team-a/adapter-only",
    "experiments/team-a/large.yaml": "overlays/prod/team-a/large",
    "experiments/team-b/cpu.yaml": "overlays/dev/team-b/cpu",
}


def copy_platform(target: Path) -> Path:
    """The platform without overlays."""
    shutil.copytree(FIXTURE, target)
    shutil.copytree(ROOT / "base", target / "base")
    return target


def expanded_platform(target: Path) -> Path:
    """The platform with the overlays of all its experiments and tenants."""
    copy_platform(target)
    assert main(["expand", "--all", "--tenants", "--repo", str(target)]) == 0
    return target


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder: path -> content."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
