"""Folders that somebody else may change at any moment: opened part by part, never through a link, never into another mount.

Every name is looked up in an open folder (openat), so what a pod puts in the place of a folder meanwhile cannot lead elsewhere.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

MAX_DEPTH = 32  # a checkpoint is two folders deep
MAX_FAULTS = 3
BLOCK = 512  # unit of st_blocks, whatever the file system's own blocks (stat(2))
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Unreal(OSError):  # noqa: N818 - a verdict on a folder
    """A link, or no folder at all, stands where a folder is expected."""


@dataclass
class Size:
    """What a folder, or a file, holds.

    used: bytes on the disk, as du counts and a quota charges; a file of several names counts where it is met first.
    newest: last change of a file, seconds since 1970. faults: why not all of it was seen, at most `MAX_FAULTS`.
    """

    used: int = 0
    files: int = 0
    newest: float = 0.0
    faults: list[str] = field(default_factory=list)

    def fault(self, text: str) -> None:
        """Note why something was not seen."""
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(text)


class Tree:
    """A storage, and the files of several names that were counted already."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._counted: set[tuple[int, int]] = set()

    @contextmanager
    def folder(self, *parts: str) -> Iterator[int]:
        """The descriptor of a folder below the root.

        Raises:
            FileNotFoundError: it is not there.
            Unreal: a part of the way is a link or no folder.
        """
        descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in parts:
                inner = opened(descriptor, part)
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)

    def names(self, *parts: str) -> list[str]:
        """Names in a folder, sorted; none where there is no such folder."""
        try:
            with self.folder(*parts) as descriptor:
                return sorted(os.listdir(descriptor))  # noqa: PTH208 - of an open folder
        except FileNotFoundError:
            return []

    def size(self, parts: tuple[str, ...], name: str) -> Size:
        """What `name` in a folder holds; a link counts as the link itself.

        Raises:
            FileNotFoundError: it is gone.
        """
        size = Size()
        with self.folder(*parts) as parent:
            self._add(parent, name, size, os.fstat(parent).st_dev, 0)
        return size

    def _add(self, parent: int, name: str, size: Size, device: int, depth: int) -> None:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode):
            self._add_folder(parent, name, size, device, depth)
            return
        if found.st_nlink > 1:
            key = (found.st_dev, found.st_ino)
            if key in self._counted:
                return
            self._counted.add(key)
        size.files += 1
        size.used += found.st_blocks * BLOCK
        size.newest = max(size.newest, found.st_mtime)

    def _add_folder(self, parent: int, name: str, size: Size, device: int, depth: int) -> None:
        if depth > MAX_DEPTH:
            size.fault(f"folders lie deeper than {MAX_DEPTH} in each other")
            return
        try:
            descriptor = opened(parent, name)
        except OSError as error:
            size.fault(f"a folder cannot be opened: {error.strerror}")
            return
        try:
            found = os.fstat(descriptor)
            if found.st_dev != device:
                size.fault("another file system is mounted in it")
                return
            size.used += found.st_blocks * BLOCK
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    self._add_entry(descriptor, entry.name, size, device, depth + 1)
        finally:
            os.close(descriptor)

    def _add_entry(self, parent: int, name: str, size: Size, device: int, depth: int) -> None:
        try:
            self._add(parent, name, size, device, depth)
        except FileNotFoundError:
            return  # removed meanwhile, for instance an old checkpoint
        except OSError as error:
            size.fault(f"something in it cannot be read: {error.strerror}")


def opened(parent: int, name: str) -> int:
    """The descriptor of a real folder in an open one; whoever asks closes it.

    Raises:
        FileNotFoundError: it is not there.
        Unreal: it is a link or no folder.
    """
    try:
        return os.open(name, _FOLDER, dir_fd=parent)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENOTDIR}:
            raise Unreal(error.errno, "a link or a file stands in the place of a folder") from error
        raise


def is_folder(parent: int, name: str) -> bool:
    """Whether a name of an open folder is a real folder."""
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    except OSError:
        return False
