"""`python -m runner.probe.trials`: tries ways on the real model in a process of its own, which may die of it.

Prints a line before and after each way: `{"probe": {"trying": [batch, kept]}}`, then `{"probe": <Trial>}`.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runner import failures, locks
from runner.exits import OutOfMemory
from runner.probe.choice import Trial
from runner.probe.ways import Way
from runner.signals import Sigterm
from runner.storage import Paths

_PR_SET_PDEATHSIG = 1


class _Enough(BaseException):
    """All ways were tried: out of LLaMA Factory, before it trains."""


def main(argv: Sequence[str] | None = None) -> int:
    """Try the ways that are named, in their order."""
    parser = argparse.ArgumentParser(prog="runner.probe.trials")
    for name in ("--lock", "--storage", "--scratch"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--ways", type=json.loads, required=True)
    options = parser.parse_args(argv)
    # A GPU must be free when the run itself begins, whatever became of it meanwhile (prctl(2)).
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    paths = Paths(options.storage, locks.read(options.lock))
    _try(paths, options.scratch, [Way(*way) for way in options.ways])
    return 0


def _try(paths: Paths, scratch: Path, ways: Sequence[Way]) -> None:
    from runner import trainer

    trainer.prepare(scratch)
    from transformers import Trainer

    def instead(found: Any, *arguments: Any, **options: Any) -> None:
        del arguments, options
        _all(paths, found, ways)
        raise _Enough

    Trainer.train = instead
    try:
        trainer.train(paths, scratch, None, None, Sigterm())
    except _Enough:
        return


def _all(paths: Paths, trainer: Any, ways: Sequence[Way]) -> None:
    from runner.probe.steps import Bench

    bench = Bench(trainer)
    for way in ways:
        _say({"trying": list(way)})
        _say(_one(paths, bench, way).model_dump(mode="json"))


def _one(paths: Paths, bench: Any, way: Way) -> Trial:
    try:
        seconds, peak = bench.run(way)
    except Exception as error:
        if not isinstance(failures.explain(error, paths), OutOfMemory):
            raise
        del error
        bench.clear()
        return Trial(batch=way.batch, kept=way.kept, outcome="out of memory")
    outcome: Any = "fits" if peak <= bench.limit else "over the margin"
    return Trial(batch=way.batch, kept=way.kept, outcome=outcome, seconds=seconds, bytes=peak)


def _say(entry: Mapping[str, Any]) -> None:
    # Past sys.stdout: LLaMA Factory's half-written line must not stand before it.
    os.write(1, f"\n{json.dumps({'probe': dict(entry)})}\n".encode())


if __name__ == "__main__":
    raise SystemExit(main())
