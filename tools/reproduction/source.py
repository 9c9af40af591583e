"""The lock of a run: in its overlay, or, once the bot has retired that, in the commits that held it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tools.errors import UsageError
from tools.expand import locks
from tools.expand.overlay import LOCK_FILE
from tools.findings import quote
from tools.formats.lock import Lock, is_sealed
from tools.formats.parse import parse
from tools.repository import Repository
from tools.signatures import History
from tools.yamlsource import parse as parse_yaml

_RUN_ID = re.compile(r"([a-z0-9]([-a-z0-9]*[a-z0-9])?)-[0-9a-f]{8}\Z")


@dataclass(frozen=True, slots=True)
class Source:
    """A lock and where it was found: a file, with the commit where it is no longer in the tree."""

    lock: Lock
    place: str


def find(repository: Repository, run_id: str) -> Source:
    """The lock of a run that has, or had, an overlay.

    Raises:
        UsageError: git knows of no such run.
    """
    match = _RUN_ID.match(run_id)
    if match is None:
        raise UsageError(
            f"{quote(run_id)} is no run id; allowed: <experiment>-<8 digits>, as `ft status` and audit/ show it"
        )
    for folder in locks.runs(repository):
        lock = locks.read(repository, folder).value if folder.endswith(f"/{match[1]}") else None
        if lock is not None and lock.run_id == run_id and is_sealed(lock):
            return Source(lock, f"{folder}/{LOCK_FILE}")
    return _retired(repository.root, run_id, match[1])


def _retired(root: Path, run_id: str, name: str) -> Source:
    history = History(root)
    if history.is_cut:
        raise UsageError(f"{run_id} has no overlay and the clone is shallow; run `git fetch --unshallow`")
    for commit, file in history.versions(locks.OVERLAYS, f"/{name}/{LOCK_FILE}"):
        content = history.blob(commit, file)
        lock = _lock(file, content) if content is not None else None
        if lock is not None and lock.run_id == run_id:
            return Source(lock, f"{commit[:12]}:{file}")
    raise UsageError(
        f"no overlay has the run id {run_id}, now or in git's history; audit/ and `ft status` list the runs"
    )


def _lock(file: str, content: bytes) -> Lock | None:
    try:
        parsed = parse(Lock, parse_yaml(content.decode(), file))
    except UnicodeDecodeError:
        return None
    lock = parsed.value
    return lock if lock is not None and not parsed.findings and is_sealed(lock) else None
