"""The runner's share of a training run: `python -m runner train` beside bare `llamafactory-cli train`, alternating.

Both print a line after each step; time is taken when the first and the last of them arrive, so that the figures of a step
hold a checkpoint but neither start-up nor the writing of the result.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import psutil

from bench.measure import BenchError, Measure, median, run, surroundings
from bench.options import PROGRAMS, ROOT, RUNNER_PYTHON, Options
from bench.table import Row

NAME = "training"
STEPS = 21
ROUNDS = 3
GOAL = 1.02
_STEP_LINE = b"'loss':"
_KIB_PER_MIB = 1024


@dataclass(frozen=True, slots=True)
class Mark:
    """The moment at which a step's line arrived: CPU seconds of the trainer and of its children, wall seconds."""

    cpu: float
    children: float
    wall: float


@dataclass(frozen=True, slots=True)
class Training:
    """One training: a mark for each step, and MiB of its largest process."""

    marks: Sequence[Mark]
    memory: float

    @property
    def start(self) -> Measure:
        """From the start of the process to the end of its first step."""
        first = self.marks[0]
        return Measure(first.cpu + first.children, first.wall, self.memory)


def rows(options: Options) -> Iterator[Row]:
    """Steps of both, then starts of both."""
    if not RUNNER_PYTHON.exists():
        yield Row(NAME, "python -m runner train", None, remark="no .venv-runner; make setup-runner")
        return
    run([RUNNER_PYTHON, "-m", "demo.base_model", "--storage", options.storage], cwd=ROOT)
    run([RUNNER_PYTHON, PROGRAMS / "training_files.py", options.storage, options.work, str(STEPS)], cwd=ROOT)
    bare, runner = _alternate(options)
    yield from _rows("step", per_step(bare), per_step(runner), GOAL)
    yield from _rows(
        "start to first step", median([each.start for each in bare]), median([each.start for each in runner])
    )


def _alternate(options: Options) -> tuple[list[Training], list[Training]]:
    trainer: list[str | Path] = [RUNNER_PYTHON.parent / "llamafactory-cli", "train", options.work / "bare.yaml"]
    lock: list[str | Path] = ["--lock", options.work / "run.yaml", "--storage", options.work / "storage"]
    bare: list[Training] = []
    runner: list[Training] = []
    for _ in range(ROUNDS):
        bare.append(_train(trainer, options))
        runner.append(_train([RUNNER_PYTHON, "-m", "runner", "train", *lock], options))
    return bare, runner


def per_step(trainings: Sequence[Training]) -> Measure:
    """One step, averaged over all but the first.

    Each step trains on the same rows in every round, so of each the quickest counts: other work on the machine only adds.
    What the children use (the sender of the metrics) falls on no step in particular, so all of it counts.
    """
    count = len(trainings[0].marks) - 1
    pairs = [list(pairwise(training.marks)) for training in trainings]
    cpu = sum(min(after.cpu - before.cpu for before, after in step) for step in zip(*pairs, strict=True))
    wall = sum(min(after.wall - before.wall for before, after in step) for step in zip(*pairs, strict=True))
    children = statistics.median(each.marks[-1].children - each.marks[0].children for each in trainings)
    return Measure((cpu + children) / count, wall / count, max(each.memory for each in trainings))


def _rows(unit: str, bare: Measure, runner: Measure, most: float | None = None) -> Iterator[Row]:
    share = f"{runner.cpu / bare.cpu - 1:+.1%} CPU, {runner.wall / bare.wall - 1:+.1%} wall"
    goal = bare.cpu * most if most else None
    yield Row(NAME, "python -m runner train", runner, unit=unit, goal=goal, remark=share)
    yield Row(NAME, "llamafactory-cli train", bare, unit=unit, ours=runner.cpu, remark="the same settings")


def _train(command: Sequence[str | Path], options: Options) -> Training:
    """Train from nothing and watch the log.

    Raises:
        BenchError: it failed, or printed another number of steps.
    """
    shutil.rmtree(options.work / "storage" / "output", ignore_errors=True)
    with (options.work / "log").open("wb") as log:
        started = time.monotonic()
        child = subprocess.Popen(
            [str(part) for part in command], cwd=ROOT, env=_environment(options), stdout=subprocess.PIPE, stderr=log
        )
        assert child.stdout is not None
        marks = []
        for line in child.stdout:
            log.write(line)
            if line.lstrip().startswith(b"{") and _STEP_LINE in line:
                marks.append(_mark(child.pid, started))
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode or len(marks) != STEPS:
        text = (options.work / "log").read_text(errors="replace")[-2000:]
        raise BenchError(
            f"{' '.join(map(str, command))} ended with {child.returncode} after {len(marks)} steps: {text}"
        )
    return Training(marks, usage.ru_maxrss / _KIB_PER_MIB)


def _mark(pid: int, started: float) -> Mark:
    process = psutil.Process(pid)
    own = process.cpu_times()
    children = [child.cpu_times() for child in process.children(recursive=True)]
    finished = own.children_user + own.children_system
    return Mark(
        own.user + own.system, sum(each.user + each.system for each in children) + finished, time.monotonic() - started
    )


def _environment(options: Options) -> Mapping[str, str]:
    """One thread each: then CPU time says what was computed, whatever else the machine does."""
    return {
        **surroundings(),
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(options.work / "huggingface"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{options.work}/mlflow.db",
        "MLFLOW_EXPERIMENT_NAME": "team-a",
    }
