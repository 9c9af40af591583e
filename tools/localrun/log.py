"""The log file of one Job: everything that its container wrote, of all attempts of this call."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Self

_TAIL_BYTES = 64 * 1024


class Log:
    """A file that two threads write whole lines into."""

    def __init__(self, file: Path, *, echo: bool) -> None:
        self.file = file
        self._echo = echo
        self._lock = threading.Lock()
        file.parent.mkdir(parents=True, exist_ok=True)
        self._stream = file.open("w", encoding="utf-8", buffering=1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def write(self, line: str) -> None:
        """Add one line; with `echo` print it as well."""
        with self._lock:
            self._stream.write(f"{line}\n")
            if self._echo:
                print(line, flush=True)

    def tail(self, count: int) -> list[str]:
        """The last `count` lines; of a line that was drawn over and over (a progress bar) its last state."""
        size = self.file.stat().st_size
        with self.file.open("rb") as stream:
            stream.seek(max(0, size - _TAIL_BYTES))
            text = stream.read().decode("utf-8", "replace")
        lines = [line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")]
        return [line for line in lines if line.strip()][-count:]
