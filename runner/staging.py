"""The folder in which a model is put together before it is published, and what of it a killed publish leaves to the next one.

    .staging-<run id>-<token>/          beside the published folders: the same file system, so that one rename moves it in
        model/                          becomes merged-model/<model_name>/<run id>
        merged.json                     the merge is done and on the disk; without it `model` is worth nothing

A publisher that finds a staging folder of its run takes it over by renaming it to a token of its own. A rename succeeds for one
of two, on NFS too, and pulls the folder from under an earlier publisher that still lives, so that even without working file
locks (NFS mounted with `nolock`) nobody writes into what another one is about to publish.
"""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from runner.certify import merged
from runner.certify.merged import Merged
from runner.events import message
from runner.hashing import sync, sync_tree
from runner.records import Damaged, read
from runner.storage import Paths

PREFIX = ".staging-"
_TOKEN = 4  # bytes


@dataclass(frozen=True, slots=True)
class Staging:
    """One run's staging folder."""

    folder: Path

    @property
    def model(self) -> Path:
        """What will be published."""
        return self.folder / "model"

    @property
    def is_merged(self) -> bool:
        """Whether the record of a finished merge is there."""
        return (self.folder / merged.NAME).is_file()

    def merged(self, run_sha256: str) -> Merged | None:
        """The record of the merge that an earlier publisher finished; None when there is none of this run."""
        try:
            found = read(Merged, self.folder / merged.NAME)
        except FileNotFoundError:
            return None
        except Damaged as error:
            message(f"{error}: merged again")
            return None
        return found if found.run_sha256 == run_sha256 else None

    def keep(self, record: Merged) -> None:
        """Bring the merged model to the disk, then say so: from here on a retry goes on behind the merge."""
        sync_tree(self.model)
        record.write(self.folder / merged.NAME)

    def empty(self) -> None:
        """Make `model` an empty folder, of which nothing is said any more."""
        (self.folder / merged.NAME).unlink(missing_ok=True)
        shutil.rmtree(self.model, ignore_errors=True)
        self.model.mkdir()

    def remove(self) -> None:
        """Remove it as far as the storage lets us; the next publisher removes the rest."""
        shutil.rmtree(self.folder, ignore_errors=True)


def claim(paths: Paths) -> Staging:
    """The run's staging folder: that of a publisher that died, taken over, or a new one.

    What other runs' publishers left without a finished merge goes; a finished merge stays for their retry.
    """
    parent = paths.merged.parent
    mine = f"{PREFIX}{paths.lock.run_id}-"
    staging = Staging(parent / f"{mine}{secrets.token_hex(_TOKEN)}")
    for leftover in sorted(parent.glob(f"{PREFIX}*")):
        if (leftover / merged.NAME).exists() and not leftover.name.startswith(mine):
            continue
        if leftover.name.startswith(mine) and not staging.folder.exists():
            try:
                leftover.rename(staging.folder)
            except FileNotFoundError:
                continue  # another publisher was quicker
            message(f"{leftover} was left by an interrupted publish: taken over")
        else:
            shutil.rmtree(leftover, ignore_errors=True)
            message(f"{leftover} was left by an interrupted publish: removed")
    staging.folder.mkdir(exist_ok=True)
    sync(parent)
    return staging


def sweep(paths: Paths) -> None:
    """Remove what publishers of this run left, now that its model is published."""
    for leftover in paths.merged.parent.glob(f"{PREFIX}{paths.lock.run_id}-*"):
        shutil.rmtree(leftover, ignore_errors=True)
        message(f"{leftover} was left by an interrupted publish: removed")
