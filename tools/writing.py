"""Files written whole or not at all: into a temporary file beside the target, then moved over it."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from tools.errors import ToolFault

_CHUNK = 1 << 20
_READABLE = 0o644


def write_text(path: Path, text: str) -> None:
    """Make `path` hold the text (UTF-8).

    Raises:
        ToolFault: the disk refuses; what was at `path` is still there.
    """
    _write(path, lambda stream: stream.write(text.encode()))


def copy(source: Path, path: Path, sha256: str) -> None:
    """Make `path` a copy of `source`, whose SHA-256 is known.

    Raises:
        ToolFault: the disk refuses, or the file is another one by now; what was at `path` is still there.
    """

    def fill(stream: BinaryIO) -> None:
        digest = hashlib.sha256()
        with source.open("rb") as original:
            while chunk := original.read(_CHUNK):
                digest.update(chunk)
                stream.write(chunk)
        if digest.hexdigest() != sha256:
            raise ToolFault(f"{source} changed while it was read; run the command again when nothing writes to it")

    _write(path, fill)


def _write(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                fill(stream)
                os.fchmod(stream.fileno(), _READABLE)
                os.fsync(stream.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ToolFault(f"{path} cannot be written: {error.strerror}; free the disk or the permissions") from error
