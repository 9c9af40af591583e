"""Removing, so that a crash leaves either all of it or a folder that is known to be on its way out, and a record of each.

A folder is first renamed to `.removed-<run id>` beside itself: no program takes it for a result any more. What an interrupted
prune left under such a name is deleted by the next one. Each removal is two lines of `removals.jsonl` in the storage's root,
which no pod mounts: `removing` before, `removed` after.
"""

from __future__ import annotations

import errno
import fcntl
import getpass
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from tools.errors import ToolFault
from tools.storage.layout import ASIDE, RECORD, Part
from tools.storage.retention import Verdict
from tools.storage.tree import MAX_DEPTH, Tree, is_folder, opened

# Held by whoever writes there: runner/result.py (LOCK) and runner/placing.py (LOCK); a test compares the names.
TRAINER_LOCK, PUBLISH_LOCK = ".trainer.lock", ".publish.lock"
_FILE = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # never a link, and a pipe must not hold us up


class Busy(Exception):  # noqa: N818 - a state of the run
    """A process holds the lock of what is to be removed."""


class Removals:
    """The record of one storage, held by one prune at a time."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._stream = -1

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other prunes out.

        Raises:
            ToolFault: one is at work, or the record cannot be written.
        """
        place = self._tree.root / RECORD
        try:
            with self._tree.folder() as root:
                self._stream = os.open(RECORD, os.O_RDWR | os.O_APPEND | os.O_CREAT | _FILE, 0o600, dir_fd=root)
        except OSError as error:
            raise ToolFault(
                f"{place} cannot be written: {error.strerror}; nothing is removed without a record"
            ) from error
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            raise ToolFault(f"{place} is held: another prune is at work; wait for its end") from error
        finally:
            os.close(self._stream)

    def remove(self, verdict: Verdict, **also: Any) -> None:
        """Remove one part and everything in it.

        Raises:
            Busy: somebody works on it.
            OSError: the disk or the permissions refuse; what is left is renamed aside or as it was.
        """
        part = verdict.part
        with self._tree.folder(*part.place) as place, _unused(part, place):
            self._note("removing", verdict, also)
            aside = part.name if part.kind == "removed" else _set_aside(place, part.name)
            delete(place, aside)
            os.fsync(place)
        self._note("removed", verdict, also)

    def _note(self, action: str, verdict: Verdict, also: dict[str, Any]) -> None:
        part = verdict.part
        line = {
            "version": 1,
            "at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "by": _user(),
            "action": action,
            "kind": part.kind,
            "path": part.path,
            "run_id": part.run_id,
            "bytes": part.size.used,
            "reason": verdict.reason,
            **also,
        }
        # A line of its own also behind one that a crash cut off; empty lines mean nothing.
        os.write(self._stream, f"\n{json.dumps(line, sort_keys=True)}\n".encode())
        os.fsync(self._stream)


def delete(parent: int, name: str, depth: int = 0) -> None:
    """Delete a folder below an open one, without following any link out of it.

    Raises:
        OSError: some of it cannot be deleted.
    """
    if depth > MAX_DEPTH:
        raise OSError(errno.ELOOP, f"folders lie deeper than {MAX_DEPTH} in each other")
    descriptor = opened(parent, name)
    try:
        for inner in os.listdir(descriptor):  # noqa: PTH208 - of an open folder
            if is_folder(descriptor, inner):
                delete(descriptor, inner, depth + 1)
            else:
                os.unlink(inner, dir_fd=descriptor)
    finally:
        os.close(descriptor)
    os.rmdir(name, dir_fd=parent)


def _set_aside(place: int, name: str) -> str:
    """Rename it, on the disk when this returns; the new name."""
    aside = f"{ASIDE}{name}"
    if is_folder(place, aside):  # of an earlier prune that was interrupted
        delete(place, aside)
    os.rename(name, aside, src_dir_fd=place, dst_dir_fd=place)
    os.fsync(place)
    return aside


@contextmanager
def _unused(part: Part, place: int) -> Iterator[None]:
    """Hold the lock of what is removed, where the runner has one, as long as the folder has its name."""
    if part.kind == "checkpoints":
        folder = opened(place, part.name)
        try:
            with _locked(folder, TRAINER_LOCK):
                yield
        finally:
            os.close(folder)
    elif part.model is not None:
        with _locked(place, PUBLISH_LOCK):
            yield
    else:
        yield


@contextmanager
def _locked(folder: int, name: str) -> Iterator[None]:
    try:
        descriptor = os.open(name, os.O_RDWR | _FILE, dir_fd=folder)
    except FileNotFoundError:
        yield
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise Busy(f"a process holds {name}") from error
    finally:
        os.close(descriptor)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
