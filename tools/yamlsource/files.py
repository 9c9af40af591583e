"""Bytes of a file from a merge request as text, refused before they can cost anything."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from tools.findings import Finding
from tools.yamlsource.document import Position, Refused, fault

MAX_BYTES = 64 * 1024


def read(path: Path, file: str) -> str:
    """The text of a regular UTF-8 file of at most `MAX_BYTES` bytes.

    Raises:
        Refused: it is none.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        what = "a symbolic link" if path.is_symlink() else f"cannot be read: {error.strerror}"
        raise Refused(
            fault(file, (1, 1), "file-kind", what, "a regular file inside the repository", "commit the file itself")
        ) from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise Refused(fault(file, (1, 1), "file-kind", "not a regular file", "a regular file inside the repository"))
    with os.fdopen(descriptor, "rb") as stream:
        if status.st_size > MAX_BYTES:
            raise Refused(
                fault(
                    file,
                    (1, 1),
                    "file-size",
                    f"{status.st_size} bytes",
                    f"at most {MAX_BYTES}",
                    "data belongs on the storage, see `ft dataset add`",
                )
            )
        raw = stream.read(MAX_BYTES + 1)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = position_of(raw[: error.start].decode("utf-8", "replace"), None)
        raise Refused(
            fault(
                file,
                where,
                "file-encoding",
                f"byte 0x{raw[error.start]:02x} is not UTF-8",
                "UTF-8 text",
                "save the file as UTF-8",
            )
        ) from error
    nul = text.find("\0")
    if nul >= 0:
        raise Refused(unprintable(file, position_of(text, nul)))
    return text


def unprintable(file: str, where: Position) -> Finding:
    """The finding about a control character."""
    return fault(file, where, "file-encoding", "a control character", "printable text", "delete the character")


def position_of(text: str, index: int | None) -> Position:
    """Line and column, 1-based, of a character (None: the end of the text)."""
    before = text if index is None else text[:index]
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
