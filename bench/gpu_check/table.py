"""The Markdown that goes into docs/performance.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.gpu_check.checks import Check
from bench.gpu_check.machine import Machine
from bench.gpu_check.training import Line

GB = 1e9
HEAD = ("model", "method", "setting", "tokens/s", "s/step", "of the chip", "x first", "estimated GB", "measured GB", "error", "first step", "remark")  # fmt: skip
_TEXTS = {"model", "method", "setting", "remark"}


def markdown(machine: Machine, versions: str, lines: Sequence[Line], checks: Sequence[Check]) -> str:
    """Machine, table, checks."""
    return "\n".join([*_machine(machine, versions), "", *_table(lines), "", *_checks(checks), ""])


def _machine(machine: Machine, versions: str) -> Iterator[str]:
    kind = "bf16" if machine.on_gpu else "float32"
    yield f"**{machine.name}**, {machine.memory / GB:.1f} GB; a large {kind} matrix product reaches {machine.flops / 1e12:.3g} TFLOP/s."
    yield f"{versions}."


def _table(lines: Sequence[Line]) -> Iterator[str]:
    yield _row(HEAD)
    yield _row(["---" if name in _TEXTS else "---:" for name in HEAD])
    slowest: dict[tuple[str, str], float] = {}
    for line in lines:
        if line.tokens is not None:
            slowest.setdefault((line.model, line.method), line.tokens)
        yield _row(_cells(line, slowest.get((line.model, line.method))))


def _cells(line: Line, first: float | None) -> list[str]:
    head = [line.model, line.method, line.setting]
    estimated = f"{line.estimated / GB:.1f}" if line.estimated else "-"
    if line.tokens is None or line.step is None or line.share is None or line.measured is None or first is None:
        return [*head, "-", "-", "-", "-", estimated, "-", "-", "-", line.remark]
    error = f"{line.estimated / line.measured - 1:+.0%}"
    figures = [f"{line.tokens:,.0f}", f"{line.step:.3g}", f"{line.share:.1%}", f"{line.tokens / first:.1f}"]
    start = "-" if line.start is None else f"{line.start:.0f} s"
    return [*head, *figures, estimated, f"{line.measured / GB:.1f}", error, start, line.remark]


def _checks(checks: Sequence[Check]) -> Iterator[str]:
    for check in checks:
        yield f"- {check.what}: {'held' if check.held else 'FAILED'} ({check.figures})"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
