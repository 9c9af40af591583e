"""Folders of generated files on disk: replaced whole or left as they were, also when the process is killed."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from tools.errors import ToolFault

# Beside the folder, so that a rename stays within one file system; hidden, so that no glob of Argo CD meets it.
_NEW, _OLD = ".{}.new", ".{}.old"


def holds(folder: Path, files: Mapping[str, bytes]) -> bool:
    """Whether the folder has exactly these files with exactly these bytes."""
    if not folder.is_dir() or {path.name for path in folder.iterdir()} != set(files):
        return False
    return all((folder / name).is_file() and (folder / name).read_bytes() == content for name, content in files.items())


def replace(folder: Path, files: Mapping[str, bytes]) -> bool:
    """Make the folder hold exactly these files; False when it already does.

    Raises:
        ToolFault: the disk refuses; the folder is as it was.
    """
    if holds(folder, files):
        return False
    new, old = folder.with_name(_NEW.format(folder.name)), folder.with_name(_OLD.format(folder.name))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _clear(new, old)
        new.mkdir()
        for name, content in files.items():
            (new / name).write_bytes(content)
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
        _clear(old)
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


def _clear(*folders: Path) -> None:
    for folder in folders:
        if folder.exists():
            shutil.rmtree(folder, ignore_errors=True)
