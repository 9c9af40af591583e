"""What the probe leaves on the storage: its choice, and the trials as they go, so that one that kills its process is not repeated."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from runner.events import message
from runner.probe.ways import Way, allowed
from runner.records import Damaged, Record, read
from runner.storage import Paths
from tools.formats.base import Sha256, Strict

NAME, TRIALS = "probe.json", "probe-trials.jsonl"
Outcome = Literal["fits", "over the margin", "out of memory", "died", "not tried"]
_DEATHS = 2  # a lost node ends a trial too: only a second end counts against the way


class Trial(Strict):
    """One way. seconds: for a row; bytes: peak of the device; None where the trial did not come so far."""

    batch: int
    kept: bool
    outcome: Outcome
    seconds: float | None = None
    bytes: int | None = None

    @property
    def way(self) -> Way:
        """What was tried."""
        return Way(self.batch, self.kept)


class Choice(Record):
    """probe.json. why: one sentence; taken: seconds of the probe."""

    run_sha256: Sha256
    batch: int
    kept: bool
    why: str
    taken: float
    trials: list[Trial]

    @property
    def way(self) -> Way:
        """What is trained with."""
        return Way(self.batch, self.kept)


def stored(paths: Paths) -> Choice | None:
    """The choice; None where there is none, or none that this lock allows."""
    file = paths.checkpoints / NAME
    try:
        found = read(Choice, file)
    except FileNotFoundError:
        return None
    except Damaged as error:
        message(f"{error}: the run goes on with the lock's own settings, which train on the same rows")
        return None
    if found.run_sha256 != paths.lock.sha256 or found.way not in allowed(paths.lock):
        message(f"{file} is not of this run: the lock's own settings are used")
        return None
    return found


def settings(paths: Paths) -> Mapping[str, Any]:
    """What the choice changes of the lock's settings."""
    found = stored(paths) if allowed(paths.lock) else None
    return found.way.settings(paths.lock) if found is not None else {}


def note(paths: Paths, entry: Mapping[str, Any]) -> None:
    """Add a line to the trials; it is on the disk when this returns."""
    with (paths.checkpoints / TRIALS).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(entry) + "\n")
        stream.flush()
        os.fsync(stream.fileno())


def noted(paths: Paths) -> dict[Way, Trial]:
    """What earlier starts of this run found out; a way that twice took its process with it has died."""
    begun: dict[Way, int] = {}
    found: dict[Way, Trial] = {}
    for line in _lines(paths.checkpoints / TRIALS):
        try:
            entry = json.loads(line)
            if "trying" in entry:
                way = Way(*entry["trying"])
                begun[way] = begun.get(way, 0) + 1
                continue
            trial = Trial.model_validate(entry)
        except (ValueError, TypeError):
            continue  # the line that a kill cut
        found[trial.way] = trial
    for way, count in begun.items():
        if way not in found and count >= _DEATHS:
            found[way] = Trial(batch=way.batch, kept=way.kept, outcome="died")
    return found


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
