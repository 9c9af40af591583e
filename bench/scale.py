"""Scale: what one experiment costs, and whether memory grows, in repositories with a thousand and ten thousand of them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench import alternatives, corpus
from bench.measure import Measure, repeated, run
from bench.options import FT, Options
from bench.table import Row

VALIDATE_GOAL = 1.5e-3
EXPAND_GOAL = 2e-3
CHECK_GOAL = 15e-3
GOALS_FROM = 1000  # below, start-up is most of what is measured
UNIT = "experiment"
# A median of several runs up to this size; above, one run takes a minute and is steady by itself.
REPEATED_UP_TO = 1000


def rows(options: Options) -> Iterator[Row]:
    """The commands on each size, then the alternatives on a sample of the smallest."""
    first: dict[str, Row] = {}
    for size in options.sizes:
        repository = options.work / str(size)
        corpus.write(repository, size)
        for row in _commands(repository, size, options.repeats if size <= REPEATED_UP_TO else 1):
            key = row.what.partition(",")[0]
            known = first.setdefault(key, row)
            yield row if known is row else _with_growth(row, known)
    yield from alternatives.rows(
        options, options.work / str(options.sizes[0]), {key: row.cpu for key, row in first.items()}
    )


def _commands(repository: Path, size: int, times: int) -> Iterator[Row]:
    overlays = repository / "overlays"

    def ft(*arguments: str) -> Measure:
        return run([FT, *arguments, "--repo", repository], cwd=repository)

    def expanded() -> Measure:
        # Moved, not removed: ext4 is slow to make files for some seconds after many were removed.
        if overlays.exists():
            overlays.rename(Path(tempfile.mkdtemp(dir=repository.parent)) / "overlays")
        return ft("expand", "--all")

    def row(what: str, measure: Measure, goal: float | None = None) -> Row:
        return Row(f"scale {size:,}", what, measure, size, UNIT, goal if size >= GOALS_FROM else None)

    yield row("ft validate, nothing authorized yet", repeated(times, lambda: ft("validate")), VALIDATE_GOAL)
    yield row("ft expand --all", repeated(times, expanded), EXPAND_GOAL)
    copying = run(["cp", "-r", overlays, repository / "copy"], cwd=repository)
    yield row("cp -r of the overlays, the disk's share", copying)
    yield row("ft validate again, all authorized", repeated(times, lambda: ft("validate")), VALIDATE_GOAL)
    yield row("ft expand --check", repeated(times, lambda: ft("expand", "--check")))
    yield row("ft render --check --all", repeated(times, lambda: ft("render", "--check", "--all")), CHECK_GOAL)


def _with_growth(row: Row, smaller: Row) -> Row:
    assert row.measure is not None
    assert smaller.measure is not None
    factor = row.measure.memory / smaller.measure.memory
    remark = f"memory x{factor:.2f} of {smaller.benchmark.removeprefix('scale ')}'s"
    return Row(row.benchmark, row.what, row.measure, row.items, row.unit, row.goal, remark=remark)
