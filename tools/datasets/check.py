"""The whole judgement of a file, in one pass over it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from tools.datasets import alpaca, openai, sharegpt
from tools.datasets.decode import MAX_ROW, Row
from tools.datasets.detect import TELLING, Choice, detect
from tools.datasets.duplicates import Duplicates
from tools.datasets.example import Example, refuse_media
from tools.datasets.faults import RowFault, kind
from tools.datasets.layout import Layout
from tools.datasets.shape import Shape
from tools.datasets.source import Source, extension_fault

MAX_ERRORS = 1000
_SAMPLE_ROWS = 50
_READERS = {"alpaca": alpaca.reader, "sharegpt": sharegpt.reader, "openai": openai.reader}

Reader = Callable[[dict[str, Any]], Example]


class RowError(NamedTuple):
    """A fault of one row (number from 1; 0 when it is of the whole file) at a line of the file."""

    row: int
    line: int
    message: str


@dataclass(slots=True)
class Report:
    """What is known about a file. rows counts all, faulty ones too; errors holds the first 1,000."""

    layout: Layout | None = None
    rows: int = 0
    empty: int = 0
    duplicates: int = 0
    errors: list[RowError] = field(default_factory=list)
    sha256: str = ""
    size: int = 0

    def refuse(self, row: int, line: int, message: str) -> None:
        """Add an error, unless there are too many to be read."""
        if len(self.errors) < MAX_ERRORS:
            self.errors.append(RowError(row, line, message))
        elif len(self.errors) == MAX_ERRORS:
            self.errors.append(
                RowError(row, line, f"more than {MAX_ERRORS} errors; the rest is not listed; correct these first")
            )


def check(path: Path, choice: Choice, take: Callable[[Example], None] | None = None) -> Report:
    """Judge the file; `take` gets every good row's example.

    Raises:
        UsageError: the file cannot be read, or the choice contradicts itself.
    """
    report = Report()
    wrong = extension_fault(path)
    if wrong:
        report.refuse(0, 1, wrong)
        return report
    with Source(path) as source, Duplicates() as duplicates:
        rows = source.rows()
        sample = list(_sample(rows))
        first_line = sample[0].line if sample else 1
        reader = _reader(report, sample, first_line, choice)
        judge = _Judge(report, duplicates, reader, take, _known(sample))
        for row in chain(sample, rows):
            judge.take(row)
        judge.end(first_line)
        report.sha256, report.size = source.finish()
    return report


def _sample(rows: Iterator[Row]) -> Iterator[Row]:
    """The first rows, few enough to be held in memory."""
    size = 0
    for number, row in enumerate(rows, start=1):
        yield row
        size += row.size
        if number == _SAMPLE_ROWS or size > MAX_ROW:
            return


def _reader(report: Report, sample: list[Row], line: int, choice: Choice) -> Reader | None:
    """The reader of the file's format; None, with an error reported, when that is not known."""
    objects = [row.value for row in sample if type(row.value) is dict]
    if not objects:
        if not sample:
            report.refuse(0, 1, str(RowFault("no rows", "at least one row", "give a file that holds rows")))
        return None
    try:
        report.layout = detect(objects, choice)
    except RowFault as fault:
        report.refuse(1, line, str(fault))
        return None
    return _READERS[report.layout.format](report.layout)


def _known(sample: list[Row]) -> set[str]:
    return {key for row in sample if type(row.value) is dict for key in row.value if row.value[key] is not None}


class _Judge:
    """Takes the rows one by one and writes what it finds into the report."""

    def __init__(
        self,
        report: Report,
        duplicates: Duplicates,
        reader: Reader | None,
        take: Callable[[Example], None] | None,
        known: set[str],
    ) -> None:
        self._report, self._duplicates, self._reader, self._take = report, duplicates, reader, take
        self._late = TELLING - known
        self._shape = Shape()
        layout = report.layout
        tools = layout.columns.get("tools") if layout else None
        self._exact = frozenset({tools} if tools else ())
        self._answers = [layout.columns[name] for name in alpaca.ANSWERS if name in layout.columns] if layout else []

    def take(self, row: Row) -> None:
        """Judge one row."""
        self._report.rows = row.number
        if row.fault is not None:
            self._report.refuse(row.number, row.line, row.fault)
            return
        try:
            example = self._example(row)
        except RowFault as fault:
            self._report.refuse(row.number, row.line, str(fault))
            self._report.empty += self._lacks_answer(row.value)
            return
        except RecursionError:
            self._report.refuse(
                row.number, row.line, "nested too deeply; allowed: a few levels; write the inner part as text"
            )
            return
        if example is not None:
            self._report.empty += example.empty
            if self._take is not None:
                self._take(example)

    def end(self, first_line: int) -> None:
        """Say what only all rows together show."""
        self._report.duplicates = self._duplicates.count()
        layout = self._report.layout
        for name in layout.columns.values() if layout else ():
            if self._shape.dates_in(name):
                found = f'every "{name}" is a date, which LLaMA Factory reads from JSON Lines as a timestamp and not as text'
                self._report.refuse(1, first_line, str(RowFault(found, "text", "write the file as one JSON array")))

    def _example(self, row: Row) -> Example | None:
        value = row.value
        if type(value) is not dict:
            raise RowFault(
                f"the row is {kind(value)}", "an object with named columns", "write {...} with the columns' names"
            )
        self._duplicates.take(value)
        refuse_media(value)
        self._shape.take(row, self._exact)
        if self._late and not self._late.isdisjoint(value):
            self._refuse_late(value)
        return self._reader(value) if self._reader else None

    def _refuse_late(self, value: dict[str, Any]) -> None:
        """A column that means something, but was not there when the columns were recognised, would be lost."""
        layout = self._report.layout
        mapped = set(layout.columns.values()) if layout else set()
        for name in self._late & value.keys():
            if value[name] is not None and name not in mapped:
                self._late -= {name}
                raise RowFault(
                    f'the column "{name}" appears here for the first time and is not used',
                    f"columns that the first {_SAMPLE_ROWS} rows show",
                    f"move this row to the top, or leave the column out with another name than {name}",
                )

    def _lacks_answer(self, value: Any) -> bool:
        return type(value) is dict and any(value.get(name) is None for name in self._answers)
