"""Storages that fail: a small tmpfs, and the file system of `tests.faults.fuse`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults import fuse


class Tmpfs:
    """A file system of a few MiB."""

    def __init__(self, folder: Path, mib: int) -> None:
        self.folder = folder
        folder.mkdir()
        self._mount("-t", "tmpfs", "-o", f"size={mib}m", "tmpfs")

    def read_only(self) -> None:
        """What a kernel does with a file system that it no longer trusts."""
        self._mount("-o", "remount,ro")

    def writable(self) -> None:
        """Mended."""
        self._mount("-o", "remount,rw")

    def _mount(self, *options: str) -> None:
        done = subprocess.run(["mount", *options, self.folder], check=False, capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")


@contextmanager
def tmpfs(folder: Path, mib: int) -> Iterator[Tmpfs]:
    """Mounted while this is open; only root may."""
    if os.geteuid() != 0:
        pytest.skip("a small file system is mounted as root only")
    made = Tmpfs(folder, mib)
    try:
        yield made
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


class Faulty:
    """A mount that passes through to a folder beside it until it is told to fail."""

    def __init__(self, root: Path) -> None:
        self.folder, self._control = root / "mount", root / "control"
        for folder in (self.folder, root / "behind"):
            folder.mkdir(parents=True)
        self.works()
        command = [sys.executable, "-m", "tests.faults.fuse", *map(str, (root / "behind", self.folder, self._control))]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        if self._process.stdout.readline() != "ready\n":
            pytest.skip(f"FUSE cannot be mounted here: {self._process.stderr.read().strip().splitlines()[-1]}")
        self.folder.stat()  # answered once kernel and server have greeted each other

    def fails(self, error: str, operations: str, path: str) -> None:
        """From now on these operations on paths with this part fail."""
        self._tell(f"{error} {operations} {path}")

    def hangs(self) -> None:
        """From now on nothing comes back from this mount, neither data nor errors."""
        self._tell("HANG")

    def works(self) -> None:
        """Mended."""
        self._tell("")

    def _tell(self, words: str) -> None:
        fresh = self._control.with_suffix(".new")
        fresh.write_text(words, encoding="ascii")
        fresh.replace(self._control)

    def close(self) -> None:
        """Unmount, hung or not."""
        self.works()
        fuse.unmount(self.folder)
        self._process.kill()
        self._process.communicate()


@contextmanager
def faulty(root: Path) -> Iterator[Faulty]:
    """Mounted while this is open."""
    made = Faulty(root)
    try:
        yield made
    finally:
        made.close()
