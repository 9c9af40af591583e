"""Reads the lock and makes sure that it is one this process may run."""

from __future__ import annotations

from pathlib import Path

from runner.exits import BadSpec
from tools.formats.lock import Lock, is_sealed
from tools.formats.parse import parse
from tools.yamlsource import load

REMEDY = "mount the run.yaml of an overlay as `ft expand` wrote it"


def read(file: Path) -> Lock:
    """The lock in `file`.

    Raises:
        BadSpec: unreadable, faulty, changed after it was sealed, or cancelled; every fault is in the message.
    """
    # A mounted ConfigMap shows each file as a symbolic link, which the reader of the repository's files refuses.
    parsed = parse(Lock, load(file.resolve(), str(file)))
    if parsed.value is None or parsed.findings:
        raise BadSpec("\n".join(f"{item.place}: {item.message}" for item in parsed.findings), REMEDY)
    lock = parsed.value
    if not is_sealed(lock):
        raise BadSpec(f"{file}: run_id and sha256 are not those of its content: it was changed after sealing", REMEDY)
    if lock.state != "active":
        raise BadSpec(
            f"{file}: state is {lock.state}; allowed: active", "add a new experiment: a cancelled one is never run"
        )
    return lock
