"""SHA-256 of files, comparison with what is recorded, and writes that survive a crash."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tools.formats.model import File


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, read in pieces.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def record(folder: Path, names: Iterable[str]) -> dict[str, File]:
    """Name -> hash and size (bytes) of files in `folder`."""
    return {name: File(sha256=sha256_of(folder / name), size=(folder / name).stat().st_size) for name in sorted(names)}


def names_in(folder: Path) -> list[str]:
    """Every regular file below `folder`, as relative paths with forward slashes."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def faults(folder: Path, files: Mapping[str, File]) -> list[str]:
    """What is missing from `folder` or differs from its record, one message a file; empty when all is as recorded."""
    return [message for name, expected in files.items() if (message := fault(folder / name, expected))]


def fault(path: Path, expected: File) -> str | None:
    """Why one file is not the recorded one, or None. The size is compared first: it costs nothing."""
    try:
        size = path.stat().st_size
        if size != expected.size:
            return f"{path}: {size} bytes; allowed: {expected.size} bytes"
        found = sha256_of(path)
    except FileNotFoundError:
        return f"{path}: missing"
    except (IsADirectoryError, NotADirectoryError, PermissionError) as error:
        return f"{path}: cannot be read ({error.strerror})"
    return None if found == expected.sha256 else f"{path}: sha256 is {found}; allowed: {expected.sha256}"


def write_json(path: Path, data: Mapping[str, Any], *, durable: bool = True) -> None:
    """Replace a JSON file in one step; with `durable` it is on the disk when this returns."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", encoding="utf-8") as stream:
        json.dump(data, stream, indent=1, sort_keys=True, allow_nan=False)
        stream.write("\n")
        if durable:
            stream.flush()
            os.fsync(stream.fileno())
    temporary.replace(path)
    if durable:
        sync(path.parent)


def sync(path: Path) -> None:
    """Bring one file's, or one folder's own, changes to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Bring every file and folder below `folder`, and itself, to the disk."""
    for path in folder.rglob("*"):
        sync(path)
    sync(folder)
