"""The runner's share of a training run: `python -m runner train` beside bare `llamafactory-cli train`, alternating.

Both print a line after each step; time is taken when the first and the last of them arrive, so that the figures of a step
hold a checkpoint (the demo's experiment writes one at step 30) but neither start-up nor the writing of the result.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.measure import BenchError, Measure, median, run, surroundings
from bench.options import PROGRAMS, ROOT, RUNNER_PYTHON, Options
from bench.table import Row

NAME = "training"
STEPS = 31
ROUNDS = 3
GOAL = 1.02
_STEP_LINE = b"'loss':"
_KIB_PER_MIB = 1024


@dataclass(frozen=True, slots=True)
class Training:
    """One training: until its first step was done, and per step after that."""

    start: Measure
    step: Measure


def rows(options: Options) -> Iterator[Row]:
    """Steps of both, then starts of both."""
    if not RUNNER_PYTHON.exists():
        yield Row(NAME, "python -m runner train", None, remark="no .venv-runner; make setup-runner")
        return
    run([RUNNER_PYTHON, "-m", "demo.base_model", "--storage", options.storage], cwd=ROOT)
    run([RUNNER_PYTHON, PROGRAMS / "training_files.py", options.storage, options.work, str(STEPS)], cwd=ROOT)
    bare_command: list[str | Path] = [RUNNER_PYTHON.parent / "llamafactory-cli", "train", options.work / "bare.yaml"]
    lock: list[str | Path] = ["--lock", options.work / "run.yaml", "--storage", options.work / "storage"]
    runner_command: list[str | Path] = [RUNNER_PYTHON, "-m", "runner", "train", *lock]
    _train(bare_command, options)  # not counted: it compiles modules and fills the disk cache
    bare: list[Training] = []
    runner: list[Training] = []
    for _ in range(ROUNDS):
        bare.append(_train(bare_command, options))
        runner.append(_train(runner_command, options))
    yield from _rows("step", median([each.step for each in bare]), median([each.step for each in runner]), GOAL)
    yield from _rows(
        "start to first step", median([each.start for each in bare]), median([each.start for each in runner])
    )


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
        seen = []
        for line in child.stdout:
            log.write(line)
            if line.lstrip().startswith(b"{") and _STEP_LINE in line:
                seen.append(Measure(_cpu(child.pid), time.monotonic() - started, 0))
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode or len(seen) != STEPS:
        text = (options.work / "log").read_text(errors="replace")[-2000:]
        raise BenchError(f"{' '.join(map(str, command))} ended with {child.returncode} after {len(seen)} steps: {text}")
    memory, steps = usage.ru_maxrss / _KIB_PER_MIB, STEPS - 1
    first, last = seen[0], seen[-1]
    step = Measure((last.cpu - first.cpu) / steps, (last.wall - first.wall) / steps, memory)
    return Training(Measure(first.cpu, first.wall, memory), step)


def _cpu(pid: int) -> float:
    """CPU seconds of a process and its children until now, with the sender of the metrics."""
    process = psutil.Process(pid)
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return float(sum(each.user + each.system for each in times)) + float(
        times[0].children_user + times[0].children_system
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
