"""The file as rows: each with its number and its line, however large the file is.

LLaMA Factory chooses its reader by the extension and takes an array or one object a line under either of `.json` and
`.jsonl` (llamafactory/data/loader.py, datasets/packaged_modules/json/json.py).
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from tools.datasets.decode import Row
from tools.datasets.jsonarray import array_rows
from tools.datasets.jsonlines import line_rows
from tools.errors import UsageError
from tools.findings import compose

EXTENSIONS = (".json", ".jsonl")
_BLANK = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"
_BUFFER = 1 << 20


class HashedFile(io.FileIO):
    """A file whose SHA-256 is computed from what is read of it, so that the bytes judged are the bytes hashed."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "rb")
        self.digest = hashlib.sha256()

    def readinto(self, buffer: Any, /) -> int:
        """Fill the buffer and hash what came."""
        count = super().readinto(buffer)
        self.digest.update(memoryview(buffer)[:count])
        return count


class Source:
    """An open file of rows; a context manager.

    Raises:
        UsageError: it is no readable regular file.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = HashedFile(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}; give a JSON or JSON Lines file that you may read") from error
        if not stat.S_ISREG(os.fstat(self._file.fileno()).st_mode):
            self._file.close()
            raise UsageError(f"{path} is no regular file; give a JSON or JSON Lines file")
        self._stream = io.BufferedReader(self._file, _BUFFER)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def rows(self) -> Iterator[Row]:
        """All rows of the file."""
        head = self._stream.peek(_BUFFER)
        first = head.removeprefix(_BOM).lstrip(_BLANK)[:1]
        if first == b"[":
            return array_rows(self._chunks(), begins_with_bom=head.startswith(_BOM))
        return line_rows(self._stream)

    def finish(self) -> tuple[str, int]:
        """SHA-256 (hexadecimal) and size in bytes of the whole file, read to its end."""
        for _ in self._chunks():
            pass
        return self._file.digest.hexdigest(), self._stream.tell()

    def _chunks(self) -> Iterator[bytes]:
        while chunk := self._stream.read(_BUFFER):
            yield chunk


def extension_fault(path: Path) -> str | None:
    """Why LLaMA Factory would not read the file as JSON, or None."""
    if path.suffix in EXTENSIONS:
        return None
    return compose(
        f'the extension is "{path.suffix}"', " or ".join(EXTENSIONS), "convert it, or rename it if it is JSON"
    )
