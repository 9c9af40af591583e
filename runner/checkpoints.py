"""Checkpoints that can be trusted: written aside, proved by a manifest of their files, and moved in by one rename.

- `writing/checkpoint-<step>`: being written; nobody else looks there, and each start empties it
- `checkpoint-<step>`: whole, with manifest.json
- `damaged-checkpoint-<step>`: differed from its manifest when a run wanted to resume from it
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from pydantic import Field

from runner.events import message
from runner.exits import Mismatch
from runner.hashing import faults, names_in, record, sync, sync_tree
from runner.records import Damaged, Record, read
from tools.formats.base import Sha256
from tools.formats.model import File

MANIFEST = "manifest.json"
WRITING = "writing"
_NAME = re.compile(r"^checkpoint-([0-9]+)$")
_DAMAGED = "damaged-"


class Manifest(Record):
    """What manifest.json holds."""

    run_sha256: Sha256
    step: int
    files: dict[str, File] = Field(min_length=1)


def prepare(folder: Path) -> None:
    """An empty place to write in. What lies there is of a process that died: this one holds the run's lease."""
    if (folder / WRITING).exists():
        shutil.rmtree(folder / WRITING)
    (folder / WRITING).mkdir(parents=True)


def keep(written: Path, folder: Path, run_sha256: str) -> Path:
    """Bring a checkpoint to the disk, write its manifest and move it to its place, which is returned.

    Raises:
        OSError: the storage failed; nothing of it is then visible under its name.
    """
    sync_tree(written)
    files = record(written, (name for name in names_in(written) if name != MANIFEST))
    Manifest(run_sha256=run_sha256, step=_step(written), files=files).write(written / MANIFEST)
    place = folder / written.name
    _remove(place, folder)  # stage rm starts anew each time, over the checkpoints of the start before
    written.rename(place)
    sync(folder)
    return place


def prune(folder: Path, limit: int, best: str | None = None) -> list[str]:
    """Remove the oldest checkpoints until `limit` are left, and return their names; `best` names one that stays.

    The step decides what is old: times of files lie after a clock was set back.
    """
    surplus = sorted((path for path in all_in(folder)), key=_step)[: -max(limit, 1)]
    removed = [path.name for path in surplus if path.name != best]
    for name in removed:
        _remove(folder / name, folder)
    return removed


def remove_damaged(folder: Path) -> list[str]:
    """Remove the checkpoints that were kept for a look at their damage, and return their names."""
    names = [path.name for path in folder.glob(f"{_DAMAGED}*") if path.is_dir()]
    for name in names:
        _remove(folder / name, folder)
    return names


def newest(folder: Path, run_sha256: str) -> Path | None:
    """The newest checkpoint that is complete; those before it in age but not in order are cleared out of the way.

    One without a manifest is no checkpoint of this runner and is removed; one that differs from its manifest is kept as
    `damaged-checkpoint-<step>` for whoever looks for the cause.

    Raises:
        Mismatch: a checkpoint is of another run.
    """
    for candidate in sorted(all_in(folder), key=_step, reverse=True):
        if not (candidate / MANIFEST).is_file():
            message(f"{candidate} is incomplete: removed")
            _remove(candidate, folder)
            continue
        wrong = _faults(candidate, run_sha256)
        if not wrong:
            return candidate
        aside = folder / f"{_DAMAGED}{candidate.name}"
        _remove(aside, folder)
        candidate.rename(aside)
        message(f"{candidate} is damaged ({wrong[0]}): moved to {aside.name}, an earlier checkpoint is tried")
    return None


def last(folder: Path) -> str | None:
    """Name of the newest checkpoint, unread: what a message may promise while the storage fails."""
    try:
        found = all_in(folder)
    except OSError:
        return None
    return max(found, key=_step).name if found else None


def all_in(folder: Path) -> list[Path]:
    """Every checkpoint folder, complete or not."""
    return [path for path in folder.iterdir() if path.is_dir() and _NAME.match(path.name)]


def _remove(place: Path, folder: Path) -> None:
    """Take a folder away in one step, and then its files: a kill in between leaves nothing half removed under its name."""
    if not place.exists():
        return
    aside = folder / WRITING / f"old-{place.name}"
    aside.parent.mkdir(exist_ok=True)
    shutil.rmtree(aside, ignore_errors=True)
    place.rename(aside)
    shutil.rmtree(aside)


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
