"""What breaks the one table that LLaMA Factory makes of all rows, columns that it does not use included.

It loads the file through Hugging Face `datasets` into Arrow: a place that is text in one row must not be a number in
another, and objects at one place get each other's keys, filled with null. Of JSON Lines it fixes the columns and their
types after the first 10 MiB (datasets/packaged_modules/json/json.py, `chunksize`); an array it reads whole.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from tools.datasets.decode import Row
from tools.datasets.faults import RowFault, kind
from tools.findings import quote

FIRST_BATCH = 10 << 20
MAX_KEYS = 1000
_LONGEST_INT = 1 << 63
# What Arrow takes for a timestamp while it infers the type of a JSON Lines column.
_DATE = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d(:\d\d(:\d\d)?)?)?(Z|[+-]\d\d(:?\d\d)?)?")
_SAME = {str: str, bool: bool, int: float, float: float, list: list, dict: dict}
# The parts of a conversation that LLaMA Factory writes out as JSON again: a key filled in there is trained on.
_EXACT = frozenset({"tools", "arguments"})


class _Place:
    """One place of the table: a column, a field of an object or the elements of a list."""

    __slots__ = ("dates", "fields", "item", "kind", "row", "whole")

    def __init__(self) -> None:
        self.kind: type | None = None
        self.row = 0
        self.dates = True
        self.whole = True
        self.fields: dict[str, _Place] = {}
        self.item: _Place | None = None


class Shape:
    """The places seen so far; `take` each row in order."""

    def __init__(self) -> None:
        self._root = _Place()
        self._keys = 0
        self._row = Row(0, 0, None, None, 0)
        self._frozen = False
        self.lines = False

    def take(self, row: Row, exact: Collection[str]) -> None:
        """Compare the row with those before it. Columns named in `exact` must have the same keys in all rows.

        Raises:
            RowFault: LLaMA Factory could not load the file because of this row, or would change its text.
        """
        self._row, self._frozen = row, row.offset > FIRST_BATCH
        self.lines = row.offset >= 0
        root, fields = self._root, self._root.fields
        root.kind, root.row = dict, root.row or row.number
        for key, value in row.value.items():
            place = fields.get(key)
            if place is None:
                place = self._new(root, key)
            try:
                self._visit(place, value, key in exact)
            except RowFault as fault:
                raise RowFault(f"{quote(key)}: {fault}") from None

    def dates_in(self, column: str) -> bool:
        """Whether the column's text is dates and nothing else, which JSON Lines readers turn into timestamps."""
        place = self._root.fields.get(column)
        return self.lines and place is not None and place.kind is str and place.dates

    def _new(self, parent: _Place, key: str) -> _Place:
        self._keys += 1
        if self._keys > MAX_KEYS:
            raise RowFault(f"more than {MAX_KEYS} different keys", "the same keys in every row", "write maps as text")
        place = parent.fields[key] = _Place()
        if self._frozen:
            raise _late(f"the key {quote(key)} appears for the first time after the first 10 MiB")
        return place

    def _visit(self, place: _Place, value: Any, exact: bool) -> None:
        if type(value) is str and place.kind is str:
            if place.dates:
                self._date(place, value)
            return
        if value is None:
            return
        self._kind(place, value)
        if type(value) is dict:
            self._object(place, value, exact)
        elif type(value) is list:
            item = place.item = place.item or _Place()
            for element in value:
                self._visit(item, element, exact)

    def _kind(self, place: _Place, value: Any) -> None:
        found = _SAME[type(value)]
        if place.kind is None:
            place.kind, place.row = found, self._row.number
            if self._frozen:
                raise _late(f"{kind(value)} for the first time after 10 MiB of nulls or empty lists")
        elif place.kind is not found:
            before = kind(place.kind())
            remedy = "make it one type in all rows, or delete the key: LLaMA Factory loads all rows as one table"
            raise RowFault(f"{kind(value)}, while row {place.row} has {before}", f"{before} or null", remedy)
        if found is float:
            self._number(place, value)
        elif found is str:
            self._date(place, value)

    def _object(self, place: _Place, value: dict[str, Any], exact: bool) -> None:
        fields = place.fields
        if exact and place.row != self._row.number and fields.keys() != value.keys():
            keys = ", ".join(sorted(fields.keys() ^ value.keys()))
            raise RowFault(
                f"objects with different keys ({keys}), to which LLaMA Factory adds the missing ones as null",
                "the same keys in all rows, or text that holds JSON",
                "write it as text: json.dumps(...)",
            )
        for key, item in value.items():
            field = fields.get(key)
            if field is None:
                field = self._new(place, key)
            try:
                self._visit(field, item, exact or key in _EXACT)
            except RowFault as fault:
                raise RowFault(f"{quote(key)}: {fault}") from None

    def _date(self, place: _Place, value: str) -> None:
        if not place.dates or (value and _DATE.fullmatch(value)):
            return
        if self._frozen and place.dates:
            raise _late("text that is no date, after 10 MiB of dates")
        place.dates = False

    def _number(self, place: _Place, value: float) -> None:
        if type(value) is int and not -_LONGEST_INT <= value < _LONGEST_INT:
            raise RowFault("a whole number of more than 64 bits", "numbers of 64 bits", "write it as text")
        if type(value) is float and place.whole:
            if self._frozen:
                raise _late("a number with a fraction, after 10 MiB of whole numbers")
            place.whole = False


def _late(found: str) -> RowFault:
    return RowFault(
        f"{found}, where LLaMA Factory has fixed the columns and their types",
        "JSON Lines whose first 10 MiB show every key with its type",
        "put such a row among the first, or write the file as one JSON array",
    )
