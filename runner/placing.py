"""models/merged-model/<model_name>/<run id>: built aside in the same folder, proved by publication.json, moved in by one rename."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from runner import failures, merge
from runner.completion import Completion
from runner.events import emit, message
from runner.exits import Mismatch, Retry
from runner.hashing import faults, names_in, record, sync, sync_tree
from runner.provenance import tags
from runner.records import Damaged, Record, read
from runner.storage import Paths, exclusive
from tools.formats.base import RelativePath, Sha256
from tools.formats.model import File

NAME = "publication.json"
LOCK = ".publish.lock"
STAGING = ".staging-"
# mkdtemp and safetensors write for their owner alone; the process that serves the model has another UID.
FOLDER_MODE, FILE_MODE = 0o755, 0o644


class Publication(Record):
    """What publication.json holds."""

    version: Literal[1]
    run_id: str
    run_sha256: Sha256
    model_name: str
    tags: Annotated[dict[str, str], Field(description="The same as the registered version's")]
    files: Annotated[dict[RelativePath, File], Field(min_length=1, description="All files but this one")]


def place(paths: Paths, proof: Completion) -> Path:
    """Make sure that the published folder is there and valid, and return it.

    One publisher of a model name works at a time; the second one waits, and then finds the folder.

    Raises:
        Mismatch: the folder is there but differs from its record. It is immutable, so it is not replaced.
    """
    parent = paths.merged.parent
    parent.mkdir(parents=True, exist_ok=True)
    with exclusive(parent / LOCK, wait=True):
        for leftover in parent.glob(f"{STAGING}*"):  # of publishers that died: the lock is ours
            shutil.rmtree(leftover)
            message(f"{leftover} was left by an interrupted publish: removed")
        if paths.merged.exists():
            verify(paths)
            emit("step", name="merge", skipped=True, path=str(paths.merged))
        else:
            _build(paths, proof)
            emit("step", name="merge", skipped=False, path=str(paths.merged))
    return paths.merged


def verify(paths: Paths) -> Publication:
    """The record of the published folder, every file compared with it.

    Raises:
        Mismatch: record or files are missing, changed or of another run.
    """
    file = paths.merged / NAME
    remedy = f"find out who changed it, then move {paths.merged} away and publish again"
    try:
        found = read(Publication, file)
    except FileNotFoundError as error:
        raise Mismatch(f"{file}: missing", remedy) from error
    except Damaged as error:
        raise Mismatch(str(error), remedy) from error
    if found.run_sha256 != paths.lock.sha256:
        raise Mismatch(f"{file} is of the run {found.run_sha256}; allowed: {paths.lock.sha256}", remedy)
    wrong = faults(paths.merged, found.files)
    if wrong:
        raise Mismatch("\n".join(wrong), remedy)
    return found


def _build(paths: Paths, proof: Completion) -> None:
    staging = Path(tempfile.mkdtemp(prefix=f"{STAGING}{paths.lock.run_id}-", dir=paths.merged.parent))
    try:
        merge.build(paths, proof, staging)
        _record(paths, staging)
        _open_to_readers(staging)
        sync_tree(staging)
        staging.rename(paths.merged)
        sync(paths.merged.parent)
    except BaseException as error:
        full = failures.full(
            staging
        )  # asked first: LLaMA Factory hides a failed write, and what follows frees the space
        shutil.rmtree(staging, ignore_errors=True)
        if full and isinstance(error, Exception):
            raise Retry(
                f"{paths.merged.parent}: no space left on the storage: {error}", "free space, then run `publish` again"
            ) from error
        raise


def _open_to_readers(staging: Path) -> None:
    for path in (staging, *staging.rglob("*")):
        path.chmod(FOLDER_MODE if path.is_dir() else FILE_MODE)


def _record(paths: Paths, staging: Path) -> None:
    assert paths.lock.run.publish is not None
    publication = Publication(
        version=1,
        run_id=paths.lock.run_id,
        run_sha256=paths.lock.sha256,
        model_name=paths.lock.run.publish.model_name,
        tags=tags(paths.lock),
        files=record(staging, names_in(staging)),
    )
    publication.write(staging / NAME)
