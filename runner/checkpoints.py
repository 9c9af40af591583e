"""Checkpoints that can be trusted: each gets a manifest of its files, and only one that matches it is resumed from."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from pydantic import Field

from runner.events import message
from runner.exits import Mismatch
from runner.hashing import faults, names_in, record, sync_tree
from runner.records import Damaged, Record, read
from tools.formats.base import Sha256
from tools.formats.model import File

MANIFEST = "manifest.json"
_NAME = re.compile(r"^checkpoint-([0-9]+)$")


class Manifest(Record):
    """What manifest.json holds."""

    run_sha256: Sha256
    step: int
    files: dict[str, File] = Field(min_length=1)


def seal(folder: Path, run_sha256: str) -> None:
    """Bring a saved checkpoint to the disk and write its manifest, last.

    Raises:
        OSError: the storage failed; the checkpoint then has no manifest and will not be used.
    """
    sync_tree(folder)
    files = record(folder, (name for name in names_in(folder) if name != MANIFEST))
    Manifest(run_sha256=run_sha256, step=_step(folder), files=files).write(folder / MANIFEST)


def newest(folder: Path, run_sha256: str) -> Path | None:
    """The newest checkpoint that is complete; those before it in age but not in order are cleared out of the way.

    One without a manifest was being written when the run was interrupted, and is removed; one that differs from its manifest is
    kept as `damaged-checkpoint-<step>` for whoever looks for the cause.

    Raises:
        Mismatch: a checkpoint is of another run.
    """
    for candidate in sorted(all_in(folder), key=_step, reverse=True):
        if not (candidate / MANIFEST).is_file():
            message(f"{candidate} is incomplete: removed")
            shutil.rmtree(candidate)
            continue
        wrong = _faults(candidate, run_sha256)
        if not wrong:
            return candidate
        aside = folder / f"damaged-{candidate.name}"
        shutil.rmtree(aside, ignore_errors=True)
        candidate.rename(aside)
        message(f"{candidate} is damaged ({wrong[0]}): moved to {aside.name}, an earlier checkpoint is tried")
    return None


def all_in(folder: Path) -> list[Path]:
    """Every checkpoint folder, complete or not."""
    return [path for path in folder.iterdir() if path.is_dir() and _NAME.match(path.name)]


def _faults(checkpoint: Path, run_sha256: str) -> list[str]:
    try:
        manifest = read(Manifest, checkpoint / MANIFEST)
    except Damaged as error:
        return [str(error)]
    if manifest.run_sha256 != run_sha256:
        raise Mismatch(
            f"{checkpoint} is of the run {manifest.run_sha256}; allowed: {run_sha256}",
            f"move {checkpoint.parent} away: two runs cannot share a folder",
        )
    return faults(checkpoint, manifest.files)


def _step(folder: Path) -> int:
    match: Any = _NAME.match(folder.name)
    return int(match[1])
