"""The one table: a line for each measurement, as Markdown that reads well on a terminal too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.measure import Measure

COLUMNS = ("benchmark", "what", "per", "CPU", "wall", "peak memory", "goal (CPU)", "x ft", "remark")
_NUMBERS = {"CPU", "wall", "peak memory", "x ft"}


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement.

    measure: None where there was nothing to measure; `remark` says why.
    items: what CPU and wall time are divided by; `unit` names it.
    goal: CPU seconds an item at most.
    ours: CPU seconds an item of the command of this project beside which it stands.
    """

    benchmark: str
    what: str
    measure: Measure | None
    items: float = 1
    unit: str = "run"
    goal: float | None = None
    ours: float | None = None
    remark: str = ""

    @property
    def cpu(self) -> float:
        """CPU seconds an item; 0 when nothing was measured."""
        return self.measure.cpu / self.items if self.measure else 0.0

    @property
    def missed(self) -> bool:
        """Whether the goal was missed."""
        return self.goal is not None and self.measure is not None and self.cpu > self.goal


def render(rows: Sequence[Row]) -> str:
    """The table."""
    cells = [list(COLUMNS), *(_cells(row) for row in rows)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(COLUMNS))]
    rule = [
        "-" * (width - 1) + ":" if name in _NUMBERS else "-" * width
        for name, width in zip(COLUMNS, widths, strict=True)
    ]
    return "".join(_line(line, widths) for line in (cells[0], rule, *cells[1:]))


def _cells(row: Row) -> list[str]:
    if row.measure is None:
        return [row.benchmark, row.what, row.unit, "-", "-", "-", "-", "-", row.remark]
    ratio = f"{row.cpu / row.ours:.1f}" if row.ours else "-"
    goal = f"< {duration(row.goal)} {'MISSED' if row.missed else 'met'}" if row.goal is not None else "-"
    wall, memory = duration(row.measure.wall / row.items), f"{row.measure.memory:.0f} MiB"
    return [row.benchmark, row.what, row.unit, duration(row.cpu), wall, memory, goal, ratio, row.remark]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell.rjust(width) if name in _NUMBERS else cell.ljust(width)
        for name, cell, width in zip(COLUMNS, cells, widths, strict=True)
    ]
    return f"| {' | '.join(padded)} |\n"


def duration(seconds: float) -> str:
    """Seconds in words, three digits: `1.42 ms`, `0.312 s`, `81.3 s`."""
    if seconds < 0.1:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 1000 else f"{seconds:.0f} s"
