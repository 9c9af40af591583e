"""The runner's share of a training run: `python -m runner train` beside bare `llamafactory-cli train`, alternating.

Both print a line after the first step and after every tenth; time is taken when these lines arrive, so that the figures of a
step hold checkpoints but neither start-up nor the writing of the result. Then both are killed and resumed.
"""

from __future__ import annotations

import os
import shutil
import signal
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
STEPS = 60
QUICK_STEPS = 20
EVERY = 10  # logging_steps of bench/programs/training_files.py; a line comes after the first step too
KILLED_AFTER = 6  # steps of the run that is resumed: behind its checkpoint at 4
ROUNDS = 3
GOAL = 1.02
_STEP_LINE = b"'loss':"
_KIB_PER_MIB = 1024


@dataclass(frozen=True, slots=True)
class Mark:
    """The moment at which a line arrived: CPU seconds of the trainer and of its children, wall seconds."""

    cpu: float
    children: float
    wall: float


@dataclass(frozen=True, slots=True)
class Training:
    """One training: a mark for each line, and MiB of its largest process."""

    marks: Sequence[Mark]
    memory: float

    @property
    def start(self) -> Measure:
        """From the start of the process to the end of its first step."""
        first = self.marks[0]
        return Measure(first.cpu + first.children, first.wall, self.memory)


def lay_out(options: Options, steps: int) -> None:
    """The demo's model, and the files of a training of so many steps."""
    run([RUNNER_PYTHON, "-m", "demo.base_model", "--storage", options.storage], cwd=ROOT)
    run([RUNNER_PYTHON, PROGRAMS / "training_files.py", options.storage, options.work, str(steps)], cwd=ROOT)


def rows(options: Options) -> Iterator[Row]:
    """Steps of both, starts of both, then both resumed."""
    if not RUNNER_PYTHON.exists():
        yield Row(NAME, "python -m runner train", None, remark="no .venv-runner; make setup-runner")
        return
    steps = QUICK_STEPS if options.quick else STEPS
    lay_out(options, steps)
    bare, runner = _alternate(options, steps // EVERY + 1)
    yield from _rows("step", per_step(bare, steps - 1), per_step(runner, steps - 1), GOAL)
    yield from _rows(
        "start to first step", median([each.start for each in bare]), median([each.start for each in runner])
    )
    yield from _rows("resume to first new step", *_resumed(options))


def _alternate(options: Options, lines: int) -> tuple[list[Training], list[Training]]:
    bare: list[Training] = []
    runner: list[Training] = []
    for _ in range(1 if options.quick else ROUNDS):
        forget(options)
        bare.append(train(_bare(options, "bare"), options, lines))
        forget(options)
        runner.append(train(runner_command(options, "run"), options, lines))
    return bare, runner


def _resumed(options: Options) -> tuple[Measure, Measure]:
    """From the start of a process to the end of its first step behind a checkpoint, after one that was killed."""
    bare: list[Measure] = []
    runner: list[Measure] = []
    for _ in range(1 if options.quick else ROUNDS):
        forget(options)
        train(_bare(options, "bare-resume"), options, KILLED_AFTER, kill=True)
        bare.append(train(_bare(options, "bare-resumed"), options, 1, kill=True).start)
        forget(options)
        train(runner_command(options, "resume"), options, KILLED_AFTER, kill=True)
        runner.append(train(runner_command(options, "resume"), options, 1, kill=True).start)
    return median(bare), median(runner)


def _bare(options: Options, name: str) -> list[str | Path]:
    return [RUNNER_PYTHON.parent / "llamafactory-cli", "train", options.work / f"{name}.yaml"]


def runner_command(options: Options, name: str) -> list[str | Path]:
    """Trains WORK/NAME.yaml."""
    lock: list[str | Path] = ["--lock", options.work / f"{name}.yaml", "--storage", options.work / "storage"]
    return [RUNNER_PYTHON, "-m", "runner", "train", *lock]


def forget(options: Options) -> None:
    """Take away what an earlier training left."""
    shutil.rmtree(options.work / "storage" / "output", ignore_errors=True)


def per_step(trainings: Sequence[Training], steps: int) -> Measure:
    """One step, averaged over the `steps` between the first line and the last.

    The steps between two lines train on the same rows in every round, so of each ten the quickest count: other work on the
    machine only adds. What the children use (the sender of the metrics) falls on no step in particular, so all of it counts.
    """
    pairs = [list(pairwise(training.marks)) for training in trainings]
    cpu = sum(min(after.cpu - before.cpu for before, after in part) for part in zip(*pairs, strict=True))
    wall = sum(min(after.wall - before.wall for before, after in part) for part in zip(*pairs, strict=True))
    children = statistics.median(each.marks[-1].children - each.marks[0].children for each in trainings)
    return Measure((cpu + children) / steps, wall / steps, max(each.memory for each in trainings))


def _rows(unit: str, bare: Measure, runner: Measure, most: float | None = None) -> Iterator[Row]:
    share = f"{runner.cpu / bare.cpu - 1:+.1%} CPU, {runner.wall / bare.wall - 1:+.1%} wall"
    goal = bare.cpu * most if most else None
    yield Row(NAME, "python -m runner train", runner, unit=unit, goal=goal, remark=share)
    yield Row(NAME, "llamafactory-cli train", bare, unit=unit, ours=runner.cpu, remark="the same settings")


def train(
    command: Sequence[str | Path], options: Options, lines: int, *, kill: bool = False, mlflow: str | None = None
) -> Training:
    """Train and watch the log; with `kill` the process is killed at the last of the lines.

    mlflow: address of the server; None for a database of its own.

    Raises:
        BenchError: it failed, or printed another number of lines.
    """
    with (options.work / "log").open("wb") as log:
        started = time.monotonic()
        child = subprocess.Popen(
            [str(part) for part in command],
            cwd=ROOT,
            env={**environment(options), **({"MLFLOW_TRACKING_URI": mlflow} if mlflow else {})},
            stdout=subprocess.PIPE,
            stderr=log,
        )
        assert child.stdout is not None
        marks: list[Mark] = []
        for line in child.stdout:
            log.write(line)
            if line.lstrip().startswith(b"{") and _STEP_LINE in line and not (kill and len(marks) == lines):
                marks.append(_mark(child.pid, started))
                if kill and len(marks) == lines:
                    child.kill()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != (-signal.SIGKILL if kill else 0) or len(marks) != lines:
        text = (options.work / "log").read_text(errors="replace")[-2000:]
        raise BenchError(
            f"{' '.join(map(str, command))} ended with {child.returncode} after {len(marks)} lines of {lines}: {text}"
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


def environment(options: Options) -> Mapping[str, str]:
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
