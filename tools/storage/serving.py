"""Which runs' models are served, or were: a model that git can be reverted to must still be there."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tools.formats.serving import Serving
from tools.formats.serving_lock import ServingLock
from tools.repository import Repository

FOLDER, OVERLAYS = "serving", "overlays/{}/_serving"
_COMMIT = re.compile(r"commit [0-9a-f]{40} ([0-9]+)\Z")
_LINE = re.compile(r"[-+]\s*run_id:\s*[\"']?([a-z0-9-]+)")


@dataclass(frozen=True, slots=True)
class Served:
    """now: run ids that are served. last: run id -> when it was last put into or taken out of service.

    unknown: why more may be served than this says; nothing merged may go then.
    """

    now: frozenset[str]
    last: dict[str, datetime]
    unknown: list[str] = field(default_factory=list)


def of(repository: Repository, environment: str, tenant: str) -> Served:
    """What files and git's history say of a tenant in an environment."""
    now, unknown = set(), []
    wanted = repository.root.glob(f"{FOLDER}/{environment}/{tenant}/*")
    for file in sorted(path.relative_to(repository.root).as_posix() for path in wanted):
        served = repository.optional(file, Serving)
        now |= {served.run_id} if served is not None else set()
        unknown += [f"{file} is not valid, so what is served is not known: `ft validate {file}`"] if not served else []
    overlays = repository.root.glob(f"{OVERLAYS.format(environment)}/{tenant}/*/lock.yaml")
    for file in sorted(path.relative_to(repository.root).as_posix() for path in overlays):
        lock = repository.optional(file, ServingLock)
        now |= {lock.content.served.run_id} if lock is not None else set()
        unknown += [f"{file} is not valid, so what is served is not known: `ft expand --check`"] if not lock else []
    last, why = _history(repository.root, f"{FOLDER}/{environment}/{tenant}")
    return Served(frozenset(now), last, unknown + ([why] if why else []))


def _history(root: Path, folder: str) -> tuple[dict[str, datetime], str]:
    shallow = _git(root, "rev-parse", "--is-shallow-repository")
    if shallow is None:
        return {}, f"{root} is no git repository, so what was served before is not known; prune from a clone"
    if shallow.strip() != "false":
        return {}, "the clone is shallow, so what was served before is not known; run `git fetch --unshallow`"
    text = _git(
        root, "log", "-p", "--no-color", "--no-ext-diff", "--no-textconv", "--format=commit %H %ct", "--", folder
    )
    if text is None:
        return {}, ""  # no commit yet
    found: dict[str, datetime] = {}
    at = datetime.fromtimestamp(0, UTC)
    for line in text.splitlines():
        if match := _COMMIT.match(line):
            at = datetime.fromtimestamp(int(match[1]), UTC)
        elif match := _LINE.match(line):
            found[match[1]] = max(at, found.get(match[1], at))
    return found, ""


def _git(root: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None
