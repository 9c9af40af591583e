"""CPU time, wall time and peak memory of programs, as the kernel counts them.

A child's `ru_maxrss` is never below the memory of the process that started it, so this package imports nothing large: what
needs pydantic, torch or a schema library runs as a program of its own.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_KIB_PER_MIB = 1024
_SHOWN = 2000
_CACHE = Path(__file__).resolve().parent.parent / ".cache" / "bench-bytecode"


@dataclass(frozen=True, slots=True)
class Measure:
    """What a program used: user and system CPU seconds with its children's, wall seconds, MiB of the largest process."""

    cpu: float
    wall: float
    memory: float


class BenchError(Exception):
    """A measured program failed, so there is no figure."""


def surroundings() -> dict[str, str]:
    """Environment of every measured program: Python keeps compiled modules, in a place of the benchmarks' own."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**environment, "PYTHONPYCACHEPREFIX": str(_CACHE)}


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path,
    environment: Mapping[str, str] | None = None,
    output: Path | None = None,
) -> Measure:
    """Run a program to its end.

    output: gets its standard output.

    Raises:
        BenchError: it ended with another exit code than 0.
    """
    with tempfile.TemporaryFile() as log, output.open("w+b") if output else tempfile.TemporaryFile() as stdout:
        started = time.monotonic()
        child = subprocess.Popen(
            [str(part) for part in command],
            cwd=cwd,
            env={**surroundings(), **(environment or {})},
            stdout=stdout,
            stderr=log,
        )
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.monotonic() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            raise BenchError(
                f"{' '.join(map(str, command))} ended with {child.returncode}: {_end(log) or _end(stdout)}"
            )
    return Measure(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / _KIB_PER_MIB)


def _end(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode(errors="replace")[-_SHOWN:]


def reported(command: Sequence[str | Path], *, cwd: Path) -> tuple[Measure, int]:
    """Run one of `bench/programs`: its loop's own CPU and wall seconds without start-up, and how many items it did."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        output = Path(folder) / "report.json"
        whole = run(command, cwd=cwd, output=output)
        report = json.loads(output.read_text())
    return Measure(report["cpu"], report["wall"], whole.memory), int(report["items"])


def repeated(times: int, once: Callable[[], Measure]) -> Measure:
    """Measure several times and take the medians."""
    return median([once() for _ in range(times)])


def median(measures: Sequence[Measure]) -> Measure:
    """The median of each figure."""
    return Measure(
        statistics.median(each.cpu for each in measures),
        statistics.median(each.wall for each in measures),
        statistics.median(each.memory for each in measures),
    )


def total(measures: Sequence[Measure]) -> Measure:
    """Several programs one after the other: times added up, memory of the largest."""
    return Measure(
        sum(each.cpu for each in measures), sum(each.wall for each in measures), max(each.memory for each in measures)
    )
