"""Trains a lock again as `ft run` does: from its own rendered manifests, on this machine, into a storage of its own."""

from __future__ import annotations

import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from rich.console import Console

from tools.errors import ToolFault, UsageError
from tools.expand import overlay, store
from tools.formats.lock import Lock
from tools.localrun.container import Machine
from tools.localrun.local import rendered
from tools.localrun.runner import LocalRun
from tools.localrun.screen import Screen
from tools.repository import Repository

_READ_ONLY = (("models", "base-model"), ("data", "training-datasets"))


def train(repository: Repository, lock: Lock, storage: Path, into: Path, python: Path, *, verbose: bool) -> bool:
    """Train, or go on where an interrupted call stopped; False when the Job failed.

    Base models and data are the original storage's, through links; nothing writes there. MLflow is a file in `into`.

    Raises:
        ToolFault: the base of the overlay is gone, or kustomize is missing.
        UsageError: the user interrupted it.
    """
    _storage(storage, into)
    base = repository.root / "base" / "training" / lock.run.base
    if not base.is_dir():
        raise ToolFault(f"{base} is missing, and the run's manifests are made from it; check out a commit that has it")
    with tempfile.TemporaryDirectory(prefix="ft-reproduce-") as folder:
        platform = Path(folder)
        shutil.copytree(repository.root / "base", platform / "base")
        # The same run, whatever became of it since: neither state nor attempt is part of what it did.
        active = lock.model_copy(update={"state": "active"})
        place = overlay.folder(active.run)
        store.replace(platform / place, overlay.files(active))
        jobs = rendered(Repository(platform), place, training=True, publish=False)
        machine = Machine(python, repository.root, into, f"sqlite:///{into}/mlflow.db")
        # Standard output is the report's.
        screen = Screen(Console(file=sys.stderr, soft_wrap=True, highlight=False, markup=False))
        screen.say(f"training {lock.run_id} again, into {into}")
        code = LocalRun(active, machine, jobs, screen, verbose).run()
    if code > 1:
        raise UsageError("interrupted; the same command goes on from the last checkpoint")
    return code == 0


def checked(storage: Path, into: Path) -> Path:
    """Where the second run may lie.

    Raises:
        UsageError: it would touch the original.
    """
    mine, theirs = into.resolve(), storage.resolve()
    if mine == theirs or mine in theirs.parents or theirs in mine.parents:
        raise UsageError(f"{into} and the storage {storage} lie in each other; give another --into, outside of it")
    if " " in str(mine):
        raise UsageError(
            f"{into} has a space in it, which LLaMA Factory's command line cannot take; give another --into"
        )
    return mine


def _storage(storage: Path, into: Path) -> None:
    for place in _READ_ONLY:
        link, target = into.joinpath(*place), storage.resolve().joinpath(*place)
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.is_symlink() and link.readlink() != target:
            link.unlink()
        with suppress(FileExistsError):
            link.symlink_to(target)
