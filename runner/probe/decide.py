"""Before the first step of a long run: try, choose, write down. After running out of memory: step down."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from runner import checkpoints
from runner.events import emit, message
from runner.exits import OutOfMemory, Retry, RunnerError
from runner.probe import choice
from runner.probe.choice import Choice, Trial
from runner.probe.ways import Way, locked, smaller, tried
from runner.spool import Spool
from runner.stall import WATCH
from runner.storage import Paths

_BETTER = 0.97  # of the time that the lock's own way takes: less is noise
_POLL, _CHUNK = 1.0, 65536


def decide(paths: Paths, scratch: Path, spool: Spool) -> None:
    """Leave probe.json beside the checkpoints, unless it is there, the run has begun, or the lock allows no probe.

    scratch: an empty folder for the lock and caches of the process that tries.
    """
    probe = paths.lock.run.performance.probe if paths.lock.run.performance is not None else None
    if probe is None:
        return
    found = choice.stored(paths)
    if found is None and not (paths.checkpoints / choice.NAME).exists() and checkpoints.last(paths.checkpoints) is None:
        started = time.monotonic()
        trials = _trials(paths, scratch, started + probe.seconds)
        found = _chosen(paths, trials, time.monotonic() - started)
        found.write(paths.checkpoints / choice.NAME)
    if found is not None:
        _tell(paths, found, spool)


def step_down(paths: Paths, failure: RunnerError) -> RunnerError:
    """Of a run that is out of memory: the next smaller way is written down, and 75 starts it again from its checkpoint.

    The same failure where the lock allows no smaller way, or the failure is another one.
    """
    if not isinstance(failure, OutOfMemory):
        return failure
    found = choice.stored(paths)
    now = found.way if found is not None else locked(paths.lock)
    less = smaller(paths.lock, now)
    if less is None:
        return failure
    died = Trial(batch=now.batch, kept=now.kept, outcome="out of memory")
    trials = [*(trial for trial in (found.trials if found is not None else []) if trial.way != now), died]
    why = f"{_words(now)} ran out of memory while training"
    taken = found.taken if found is not None else 0.0
    _record(paths, less, why, taken, trials).write(paths.checkpoints / choice.NAME)
    return Retry(
        f"{failure.cause}; {_words(less)} is tried from the last checkpoint on, with the same rows a step",
        "nothing: the next start does it by itself",
        **failure.details,
    )


def _trials(paths: Paths, scratch: Path, end: float) -> dict[Way, Trial]:
    found = choice.noted(paths)
    order = list(tried(paths.lock))
    while any(way not in found for way in order) and time.monotonic() < end:
        before = len(found)
        for trial in _process(paths, scratch, [way for way in order if way not in found], end):
            found[trial.way] = trial
        if len(found) == before:
            break  # it fails before it tries anything: what is wrong shows when the run trains
    return found


def _process(paths: Paths, scratch: Path, ways: list[Way], end: float) -> Iterator[Trial]:
    """Trials of one process, as they end; the way in which it died, if it did, is the last."""
    lock = scratch / "probe.yaml"
    lock.write_text(yaml.safe_dump(paths.lock.model_dump(mode="json"), sort_keys=False), encoding="utf-8")
    options = ["--lock", lock, "--storage", paths.storage, "--scratch", scratch, "--ways", json.dumps(ways)]
    command = [sys.executable, "-m", "runner.probe.trials", *options]
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, bufsize=0)
    trying: Way | None = None
    try:
        for entry in _entries(process, end):
            choice.note(paths, entry)
            if "trying" in entry:
                trying = Way(*entry["trying"])
            else:
                trying = None
                yield Trial.model_validate(entry)
        if process.poll() is None:
            message("the probe's time is over")
        elif trying is not None:
            died = Trial(batch=trying.batch, kept=trying.kept, outcome="died")
            choice.note(paths, died.model_dump(mode="json"))
            yield died
    finally:
        process.kill()
        process.wait()


def _entries(process: subprocess.Popen[bytes], end: float) -> Iterator[Mapping[str, Any]]:
    """The process's own lines, until it ends or the time is over. LLaMA Factory's stand between them."""
    assert process.stdout is not None
    rest = b""
    with selectors.DefaultSelector() as waiting:
        waiting.register(process.stdout, selectors.EVENT_READ)
        while (left := end - time.monotonic()) > 0:
            if not waiting.select(min(left, _POLL)):
                continue
            part = os.read(process.stdout.fileno(), _CHUNK)
            if not part:
                process.wait()
                return
            WATCH.beat("starting")
            *lines, rest = (rest + part).split(b"\n")
            for line in lines:
                if line.startswith(b'{"probe":'):
                    entry: dict[str, Any] = json.loads(line)["probe"]
                    yield entry


def _chosen(paths: Paths, trials: Mapping[Way, Trial], taken: float) -> Choice:
    """The quickest that fits; the lock's own unless another is clearly quicker, and a smaller one where it does not fit."""
    own = locked(paths.lock)
    fitting = {way: trial.seconds for way, trial in trials.items() if trial.outcome == "fits" and trial.seconds}
    best = min(fitting, key=lambda way: fitting[way], default=None)
    every = [*trials.values(), *(_untried(way) for way in tried(paths.lock) if way not in trials)]
    if best is None:
        return _record(paths, *_without(paths, trials), taken, every)
    if own in fitting and fitting[best] > _BETTER * fitting[own]:
        return _record(
            paths, own, "nothing that was tried is clearly quicker than the lock's own settings", taken, every
        )
    if own in fitting and best != own:
        why = f"{fitting[own] / fitting[best]:.2f} times as fast as the lock's own settings"
        return _record(paths, best, why, taken, every)
    why = "the quickest that fits" if own in trials else "the quickest of what was tried in time"
    return _record(paths, best, why, taken, every)


def _without(paths: Paths, trials: Mapping[Way, Trial]) -> tuple[Way, str]:
    """Nothing fits, or nothing was found out: the largest way below all those that failed."""
    way: Way | None = locked(paths.lock)
    while way is not None and way in trials and trials[way].outcome != "not tried":
        way = smaller(paths.lock, last := way)
        if way is None:
            return last, "nothing that was tried fits; the least way is left"
    assert way is not None
    return way, "nothing was tried in time" if way == locked(
        paths.lock
    ) else "what was tried does not fit: a step below it"


def _record(paths: Paths, way: Way, why: str, taken: float, trials: list[Trial]) -> Choice:
    return Choice(
        run_sha256=paths.lock.sha256, batch=way.batch, kept=way.kept, why=why, taken=round(taken, 1), trials=trials
    )


def _untried(way: Way) -> Trial:
    return Trial(batch=way.batch, kept=way.kept, outcome="not tried")


def _words(way: Way) -> str:
    return f"micro-batch {way.batch} {'without' if way.kept else 'with'} recomputation"


def _tell(paths: Paths, found: Choice, spool: Spool) -> None:
    changed = found.way.settings(paths.lock)
    emit("probe", run_id=paths.lock.run_id, settings=changed, why=found.why, seconds=found.taken)
    tags = {f"probe.{key}": json.dumps(chosen) for key, chosen in changed.items()}
    spool.append("tags", tags={**tags, "probe.why": found.why, "probe.seconds": str(found.taken)})
