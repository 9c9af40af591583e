"""Where a run's files lie below the storage, and the lock that keeps a second process out of a folder."""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from runner.exits import Retry
from tools.formats.lock import Lock, LockedDataset


@dataclass(frozen=True, slots=True)
class Paths:
    """The folders of one run."""

    storage: Path
    lock: Lock

    @property
    def base_model(self) -> Path:
        """Folder of the base model."""
        return self.storage / "models" / "base-model" / self.lock.run.model.path

    def dataset(self, dataset: LockedDataset) -> Path:
        """File of one dataset."""
        return self.storage / "data" / "training-datasets" / dataset.path

    @property
    def checkpoints(self) -> Path:
        """Folder of what a resumed run needs: whole checkpoints, progress, the MLflow spool."""
        return self.storage / "output" / "checkpoints" / self.lock.run_id

    @property
    def writing(self) -> Path:
        """Folder that LLaMA Factory writes into; emptied at each start."""
        return self.checkpoints / "writing"

    @property
    def adapter(self) -> Path:
        """Folder of the result: the adapter, or for method full the model, with completion.json."""
        return self.storage / "output" / "lora-adapter" / self.lock.run_id

    @property
    def merged(self) -> Path:
        """Folder of the published model; only for runs with `publish`."""
        folder = self.lock.model_folder
        if folder is None:
            raise ValueError(f"{self.lock.run_id} has no publish section")
        return self.storage / "models" / "merged-model" / folder


def mounted(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists: in a container each part of the storage is a mount of its own."""
    return next(path for path in (folder, *folder.parents) if path.exists())


@contextmanager
def exclusive(file: Path, *, wait: bool) -> Iterator[None]:
    """Hold `file` as a lock, which the kernel (or the NFSv4 server) gives back when its holder dies.

    Raises:
        Retry: another process holds it and `wait` is false.
    """
    with file.open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise Retry(
                f"{file}: another process works on this run", "wait for its end, or end it", code="busy"
            ) from error
        yield


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for caches, removed afterwards: in TMPDIR or /tmp, or in HOME where the root is read-only."""
    try:
        parent = Path(tempfile.gettempdir())
    except FileNotFoundError:
        parent = Path.home()
    with tempfile.TemporaryDirectory(prefix="runner-", dir=parent, ignore_cleanup_errors=True) as folder:
        yield Path(folder)
