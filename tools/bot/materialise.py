"""A commit's tree written as plain data files: regular files only, within limits, at paths that stay in the folder.

A symbolic link becomes one that leads nowhere, so that the rules find and refuse it; a submodule is left out.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tools.bot.errors import Hostile, MirrorFault
from tools.bot.gitrun import Git

DATA = ("tenants", "catalog", "environments", "experiments", "base", "overlays", "audit", "recalls", "serving")
MOST_FILES = 200_000
LARGEST_FILE = 8 * 1024 * 1024
MOST_BYTES = 512 * 1024 * 1024
NOWHERE = ".a-symbolic-link-that-the-bot-does-not-follow"
_REGULAR = {"100644", "100755"}
_LINK = "120000"
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\]")


@dataclass(frozen=True)
class Entry:
    """One line of a tree; `size` is in bytes, 0 for what is no file."""

    mode: str
    sha: str
    size: int
    path: str


def entries(git: Git, commit: str, paths: Sequence[str] = ()) -> Iterator[Entry]:
    """All files below `paths` (everything when empty)."""
    listing = git.out("ls-tree", "-r", "-z", "-l", "--full-tree", commit, "--", *paths)
    for line in listing.split(b"\0"):
        if line:
            fields, _, path = line.partition(b"\t")
            mode, _, sha, size = fields.decode().split()
            yield Entry(mode, sha, int(size) if size.isdigit() else 0, path.decode(errors="backslashreplace"))


def write(
    git: Git, commit: str, into: Path, paths: Sequence[str], wanted: Callable[[str], bool] = lambda _path: True
) -> list[str]:
    """Write the tree below `into`, of it the files that are wanted; the paths that are no regular files, hence not there.

    Raises:
        Hostile: over the limits, or a path that no ordinary git client would have made.
    """
    found = [entry for entry in entries(git, commit, paths) if wanted(entry.path)]
    _check(found)
    files = [entry for entry in found if entry.mode in _REGULAR]
    others = [entry for entry in found if entry.mode not in _REGULAR]
    try:
        for parent in {os.path.dirname(entry.path) for entry in found}:  # noqa: PTH120 - text of a path in git
            (into / parent).mkdir(parents=True, exist_ok=True)
        _write_files(git, files, into)
        for entry in others:
            if entry.mode == _LINK:
                (into / entry.path).symlink_to(NOWHERE)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise Hostile(f"commit {commit[:12]} holds a path twice: {os.path.relpath(error.filename, into)!r}") from None
    return [entry.path for entry in others]


def _check(found: Sequence[Entry]) -> None:
    if len(found) > MOST_FILES:
        raise Hostile(f"{len(found)} files, over the bot's limit of {MOST_FILES}; split the change")
    for entry in found:
        if entry.size > LARGEST_FILE:
            limit = f"{LARGEST_FILE // 2**20} MiB"
            raise Hostile(f"{entry.path!r} has {entry.size} bytes, over the bot's limit of {limit}; take it out of git")
        parts = entry.path.split("/")
        if _UNSAFE.search(entry.path) or any(part in {"", ".", ".."} or part.lower() == ".git" for part in parts):
            raise Hostile(f"{entry.path!r} is no path for data; rename the file")
        if max(len(part.encode()) for part in parts) > 255 or len(entry.path) > 1000:  # noqa: PLR2004 - the file system's
            raise Hostile(f"{entry.path[:80]!r}... is too long a path; shorten it")
    if sum(entry.size for entry in found) > MOST_BYTES:
        raise Hostile(f"the files have more than {MOST_BYTES // 2**20} MiB together; split the change")


def _write_files(git: Git, files: Sequence[Entry], into: Path) -> None:
    """All contents from one process; its input is a file, so that neither side can wait for the other."""
    with tempfile.TemporaryFile() as wanted:
        wanted.writelines(f"{entry.sha}\n".encode() for entry in files)
        wanted.seek(0)
        with git.reading(["cat-file", "--batch", "--buffer"], wanted) as stream:
            for entry, content in zip(files, _contents(stream, files), strict=True):
                # x: a tree that names a path twice does not get to write through the first.
                with (into / entry.path).open("xb") as target:
                    target.write(content)


def _contents(stream: IO[bytes], files: Iterable[Entry]) -> Iterator[bytes]:
    for entry in files:
        head = stream.readline().split()
        if head[:2] != [entry.sha.encode(), b"blob"]:
            raise MirrorFault(f"git cat-file: no object {entry.sha}; remove the bot's mirror folder, it is made again")
        content = stream.read(int(head[2]))
        stream.read(1)
        yield content
