"""What MLflow is to get, as an append-only file: training writes here and never waits for the server.

`mlflow-spool.jsonl` holds one entry a line; `mlflow-spool.offset` beside it the byte up to which MLflow has taken them.
Kinds of entries: run (params, tags, datasets), metrics (step, values), tags, status.
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
        self._broken = False
        _drop_torn_line(self._file)
        self._stream = self._file.open("ab")
        self.bell: int | None = None

    def append(self, kind: str, **fields: Any) -> None:
        """Add an entry with the current time. A full disk must not end training here: its checkpoints decide that."""
        entry = {"kind": kind, "timestamp": time.time_ns() // 1_000_000, **fields}
        try:
            self._stream.write(json.dumps(entry).encode() + b"\n")
            self._stream.flush()
        except OSError as error:
            if not self._broken:
                message(f"{self._file}: MLflow will miss what could not be spooled: {error}")
            self._broken = True
        self._ring()

    def sync(self) -> None:
        """Bring the file to the disk, so that a checkpoint's metrics outlive the node."""
        try:
            os.fsync(self._stream.fileno())
        except OSError as error:
            message(f"{self._file}: not synced: {error}")

    def close(self) -> None:
        """Close the file; the sender may still read it."""
        try:
            self._stream.close()
        except OSError as error:
            message(f"{self._file}: not closed cleanly: {error}")

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
