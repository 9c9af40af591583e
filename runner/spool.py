"""What MLflow is to get, as an append-only file: training writes here and never waits for the server.

`mlflow-spool.jsonl` holds one entry a line; `mlflow-spool.offset` beside it the byte up to which MLflow has taken them.
Kinds of entries: run (params, tags, datasets), metrics (step, values), tags, status.

What the storage does not take waits in memory. A checkpoint is kept only after everything before it is on the disk (`sync`), so a
run that is killed meanwhile resumes before the steps whose entries were lost, and writes them again.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runner.events import message

NAME = "mlflow-spool.jsonl"
OFFSET = "mlflow-spool.offset"
REJECTED = "mlflow-rejected.jsonl"
BELL = b"\n"


class Spool:
    """The writing end, used by training alone.

    bell: a pipe's descriptor to wake the sender with, or None.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / NAME
        self._waiting = bytearray()
        self._broken = False
        _drop_torn_line(self._file)
        _drop_wrong_offset(self._file, folder / OFFSET)
        self._descriptor = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self.bell: int | None = None

    def append(self, kind: str, **fields: Any) -> None:
        """Add an entry with the current time. A full disk must not end training here: its checkpoints decide that."""
        entry = {"kind": kind, "timestamp": time.time_ns() // 1_000_000, **fields}
        self._waiting += json.dumps(entry).encode() + b"\n"
        try:
            self._write()
        except OSError as error:
            if not self._broken:
                message(f"{self._file}: {error}; entries for MLflow wait in memory")
            self._broken = True
        self._ring()

    def sync(self) -> None:
        """Bring all entries to the disk, so that a checkpoint's metrics outlive the node.

        Raises:
            OSError: the storage does not take them.
        """
        self._write()
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file; the sender may still read it."""
        try:
            os.close(self._descriptor)
        except OSError as error:
            message(f"{self._file}: not closed cleanly: {error}")

    def _write(self) -> None:
        while self._waiting:
            written = os.write(self._descriptor, self._waiting)
            del self._waiting[:written]
        self._broken = False

    def _ring(self) -> None:
        if self.bell is None:
            return
        try:
            os.write(self.bell, BELL)
        except BlockingIOError:
            pass  # the pipe is full of rings already
        except OSError:
            self.bell = None  # the sender is gone; `publish` or a resumed run sends the rest


class Outbox:
    """The reading end: entries that MLflow has not taken yet, in order."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / NAME
        self._offset_file = folder / OFFSET
        self._rejected_file = folder / REJECTED
        self.offset = self._load_offset()

    @property
    def empty(self) -> bool:
        """Whether MLflow has everything."""
        return next(self.entries(), None) is None

    def entries(self) -> Iterator[tuple[dict[str, Any], int]]:
        """Complete entries from the offset on, each with the offset behind it; a line still being written is left."""
        if not self._file.exists():
            return
        with self._file.open("rb") as stream:
            position = stream.seek(self.offset)
            for line in stream:
                if not line.endswith(b"\n"):
                    return
                position += len(line)
                try:
                    entry = json.loads(line)
                except ValueError:
                    entry = {}
                yield entry if isinstance(entry, dict) else {}, position

    def acknowledge(self, offset: int) -> None:
        """Note that MLflow has all entries before `offset`. Losing this note costs a second sending, never a second row."""
        self.offset = offset
        try:
            temporary = self._offset_file.with_name(f".{OFFSET}.tmp")
            temporary.write_text(f"{offset}\n", encoding="ascii")
            temporary.replace(self._offset_file)
        except OSError:
            return  # read-only or full: see above

    def reject(self, entry: dict[str, Any], reason: str) -> None:
        """Keep an entry that MLflow will never take, so that those behind it can go on."""
        message(f"MLflow refuses an entry of kind {entry.get('kind')}: {reason}; kept in {self._rejected_file}")
        try:
            with self._rejected_file.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"reason": reason, **entry}) + "\n")
        except OSError as error:
            message(f"{self._rejected_file}: {error}")

    def _load_offset(self) -> int:
        try:
            offset = int(self._offset_file.read_text(encoding="ascii"))
            return offset if 0 <= offset <= self._file.stat().st_size else 0
        except (OSError, ValueError):
            return 0


def _drop_torn_line(file: Path) -> None:
    """Cut a last line that a kill left half written: the next entry would otherwise be glued to it."""
    if not file.exists():
        return
    with file.open("r+b") as stream:
        size = stream.seek(0, os.SEEK_END)
        while size > 0:
            stream.seek(size - 1)
            if stream.read(1) == b"\n":
                break
            size -= 1
        stream.truncate(size)


def _drop_wrong_offset(file: Path, offset_file: Path) -> None:
    """Forget how far MLflow was when that is no entry's end: a lost node took the file's last entries, not the note of them.

    All is then sent again, which changes nothing in MLflow. Left alone, new entries would grow past the note unsent.
    """
    try:
        offset = int(offset_file.read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return
    size = file.stat().st_size if file.exists() else 0
    if offset > 0 and (offset > size or not _ends_line(file, offset)):
        offset_file.unlink()


def _ends_line(file: Path, offset: int) -> bool:
    with file.open("rb") as stream:
        stream.seek(offset - 1)
        return stream.read(1) == b"\n"
