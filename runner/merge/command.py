"""`python -m runner merge`: a merge by hand. The result appears whole, by one rename, or not at all."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runner.events import emit
from runner.exits import DONE, BadSpec, Retry, Stopped
from runner.hashing import sync, sync_tree
from runner.merge import check, folders
from runner.signals import Sigterm, Termination

STAGING = ".{name}.merging"


def run(base: Path, adapter: Path, out: Path, report: Path | None) -> int:
    """Merge `adapter` into `base`; `report` gets the hashes and what changed, as JSON.

    Raises:
        RunnerError: why there is no `out`.
    """
    try:
        with Sigterm().installed():
            return _merge(base, adapter, out, report)
    except Termination as error:
        raise Stopped("stopped by SIGTERM; nothing half done is left", "run the same command again") from error


def _merge(base: Path, adapter: Path, out: Path, report: Path | None) -> int:
    started = time.monotonic()
    for folder in (base, adapter):
        if not folder.is_dir():
            raise BadSpec(f"{folder}: no such folder; allowed: a folder with a model or an adapter", "check the path")
    with _staging(out) as staging:
        found = folders(base, adapter, staging, settings={}, hashing=report is not None)
        check(staging)
        sync_tree(staging)
        if report:
            report.write_text(json.dumps(found.as_dict(), indent=1) + "\n", encoding="utf-8")
        staging.rename(out)
        sync(out.parent)
    changed = sum(change.changed for change in found.changes.values())
    emit(
        "merge", path=str(out), tensors=len(found.changes), changed=changed, untouched=found.untouched,
        seconds=round(time.monotonic() - started, 2),
    )  # fmt: skip
    return DONE


@contextmanager
def _staging(out: Path) -> Iterator[Path]:
    """A hidden folder beside `out`, held by this process alone; what a killed one left in it goes first, and what an error leaves.

    Raises:
        BadSpec: `out` is there.
        Retry: another process is at work on it.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    staging = out.parent / STAGING.format(name=out.name)
    staging.mkdir(exist_ok=True)
    descriptor = os.open(staging, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Retry(f"{staging}: another process merges into {out}", "wait for its end, or end it") from error
        if not staging.exists() or not os.path.samestat(os.fstat(descriptor), staging.stat()):
            raise Retry(f"{staging}: another process has just finished", "run it again")
        _clear(staging)
        try:
            _check_new(out)
            yield staging
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
    finally:
        os.close(descriptor)


def _check_new(out: Path) -> None:
    if out.exists() or out.is_symlink():
        raise BadSpec(f"{out}: exists; allowed: a new folder", "name another folder, or move this one away")


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
