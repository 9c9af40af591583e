"""Plans for a terminal or a log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tools.plan.estimate import Plan
from tools.plan.sections import Section, sections

_INDENT = "  "


def report(plans: Sequence[Plan]) -> str:
    """All plans, a blank line between them."""
    return "\n\n".join("\n".join(_lines(plan)) for plan in plans)


def _lines(plan: Plan) -> Iterator[str]:
    yield plan.file
    for section in sections(plan):
        yield f"\n{_INDENT}{section.title}"
        if section.title.startswith("Difference"):
            yield from _changes(section)
        elif section.title.startswith("Peak"):
            yield from _memory(section)
        else:  # two columns explain themselves
            yield from _table([section.head, *section.rows] if len(section.head) > 2 else section.rows)  # noqa: PLR2004


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        yield f"{_INDENT * 2}{'  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))}".rstrip()


def _memory(section: Section) -> Iterator[str]:
    """Formula beside the number, source under it: the line would be too long."""
    width = max(len(row[0]) for row in section.rows)
    for name, need, formula, source in section.rows:
        yield f"{_INDENT * 2}{name.ljust(width)}  {need:>10}  {formula}"
        if source:
            yield f"{_INDENT * 2}{' ' * width}  {'':>10}  [{source}]"


def _changes(section: Section) -> Iterator[str]:
    for key, old, new in section.rows:
        if old:
            yield f"{_INDENT * 2}- {key}: {old}"
        if new:
            yield f"{_INDENT * 2}+ {key}: {new}"
