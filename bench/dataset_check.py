"""Datasets: reading a large JSON Lines file, and whether memory grows with it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

from bench.measure import Measure, repeated, run
from bench.options import FT, PROGRAMS, PYTHON, ROOT, RUNNER_PYTHON, Options
from bench.table import Row

NAME = "datasets"
MEGABYTE = 10**6
_WORDS = ("konto", "karta", "przelew", "limit", "opłata", "kredyt", "wniosek", "please", "card", "payment", "account")


def rows(options: Options) -> Iterator[Row]:
    """`ft dataset check` on a tenth of the file and on all of it, then what else reads such files."""
    small, large = options.work / "small.jsonl", options.work / "large.jsonl"
    for file, size in ((small, options.dataset_mb / 10), (large, options.dataset_mb)):
        write(file, int(size * MEGABYTE))

    def of(*command: str | Path) -> Measure:
        return repeated(options.repeats, lambda: run(command, cwd=ROOT, environment=_environment(options)))

    little, much = of(FT, "dataset", "check", small), of(FT, "dataset", "check", large)
    ours = _row("ft dataset check", large, much)
    yield _row("ft dataset check", small, little)
    growth = f"memory x{much.memory / little.memory:.2f} of {_size(small)}'s"
    yield _row("ft dataset check", large, much, remark=growth)
    yield _row("json.loads line by line", large, of(PYTHON, PROGRAMS / "json_loads.py", large), ours)
    if RUNNER_PYTHON.exists():
        cache = options.work / "cache"
        yield _row(
            'datasets.load_dataset("json")', large, of(RUNNER_PYTHON, PROGRAMS / "load_dataset.py", large, cache), ours
        )
    else:
        yield Row(NAME, 'datasets.load_dataset("json")', None, unit="MB", remark="no .venv-runner; make setup-runner")


def write(file: Path, size: int) -> None:
    """Alpaca rows, each another, until the file has `size` bytes."""
    chance = random.Random(0)
    with file.open("w", encoding="utf-8") as stream:
        while stream.tell() < size:
            row = {
                "instruction": f"Sort message {chance.randrange(10**9)} into a topic.",
                "input": " ".join(chance.choices(_WORDS, k=chance.randint(5, 120))),
                "output": " ".join(chance.choices(_WORDS, k=chance.randint(1, 60))),
            }
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def _environment(options: Options) -> dict[str, str]:
    return {"HF_HOME": str(options.work / "huggingface"), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}


def _row(what: str, file: Path, measure: Measure, ours: Row | None = None, remark: str = "") -> Row:
    size = file.stat().st_size / MEGABYTE
    speed = f"{size / measure.cpu:.0f} MB/s of CPU"
    remark = f"{speed}; {remark}" if remark else speed
    return Row(NAME, f"{what}, {_size(file)}", measure, size, "MB", ours=ours.cpu if ours else None, remark=remark)


def _size(file: Path) -> str:
    return f"{file.stat().st_size / MEGABYTE:.3g} MB"
