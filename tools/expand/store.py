"""Folders of generated files on disk: replaced whole or left as they were, also when the process is killed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from tools.errors import ToolFault

# Beside the folder, so that a rename stays within one file system; hidden, so that no glob of Argo CD meets it.
_NEW, _OLD = ".{}.new", ".{}.old"


def holds(folder: Path, files: Mapping[str, bytes]) -> bool:
    """Whether the folder has exactly these files with exactly these bytes."""
    try:
        names = set(os.listdir(folder))  # noqa: PTH208 - names alone, of thousands of folders
    except (FileNotFoundError, NotADirectoryError):
        return False
    return names == set(files) and all(_same(f"{folder}/{name}", content) for name, content in files.items())


def replace(folder: Path, files: Mapping[str, bytes]) -> bool:
    """Make the folder hold exactly these files; False when it already does.

    Raises:
        ToolFault: the disk refuses; the folder is as it was.
    """
    if holds(folder, files):
        return False
    new, old = folder.with_name(_NEW.format(folder.name)), folder.with_name(_OLD.format(folder.name))
    try:
        _clear(old)
        _fresh(new)
        for name, content in files.items():
            _write(f"{new}/{name}", content)
        if os.path.lexists(folder):
            folder.rename(old)
            new.rename(folder)
            _clear(old)
        else:
            new.rename(folder)
    except OSError as error:
        _clear(new)
        raise ToolFault(f"{folder} cannot be written: {error.strerror}; free the disk or the permissions") from error
    return True


def remove(folder: Path) -> bool:
    """Remove the folder; False when there is none. Its parents stay only while they hold something."""
    if not folder.exists():
        return False
    old = folder.with_name(_OLD.format(folder.name))
    _clear(old)
    folder.rename(old)
    _clear(old)
    if not any(folder.parent.iterdir()):
        folder.parent.rmdir()
    return True


def _same(path: str, content: bytes) -> bool:
    return Path(path).is_file() and Path(path).read_bytes() == content


def _write(path: str, content: bytes) -> None:
    """Make a new file; half of the time of `open`, which asks the system what the file is."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        while content:
            content = content[os.write(descriptor, content) :]
    finally:
        os.close(descriptor)


def _fresh(folder: Path) -> None:
    """Make the folder, with its parents, empty."""
    try:
        folder.mkdir()
    except FileNotFoundError:
        folder.mkdir(parents=True)
    except FileExistsError:
        _clear(folder)
        folder.mkdir()


def _clear(folder: Path) -> None:
    if os.path.lexists(folder):
        shutil.rmtree(folder, ignore_errors=True)
