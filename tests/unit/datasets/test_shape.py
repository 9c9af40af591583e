"""The one table that LLaMA Factory makes of all rows."""

from __future__ import annotations

from typing import Any

import pytest

from tools.datasets.decode import Row
from tools.datasets.faults import RowFault
from tools.datasets.shape import FIRST_BATCH, MAX_KEYS, Shape


def take(*values: dict[str, Any], late: bool = False) -> Shape:
    """A shape that has taken the rows; with `late` the last one lies after the first 10 MiB."""
    shape = Shape()
    for number, value in enumerate(values, start=1):
        offset = FIRST_BATCH + 1 if late and number == len(values) else number
        shape.take(Row(number, number, value, None, 0, offset), ())
    return shape


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"a": 1}, {"a": "x"}),
        ({"a": True}, {"a": 1}),
        ({"a": [1]}, {"a": ["x"]}),
        ({"a": {"b": "x"}}, {"a": {"b": []}}),
    ],
)
def test_a_place_keeps_its_kind(first: dict[str, Any], second: dict[str, Any]) -> None:
    """Another kind of value at the same place, however deep, is refused with the row that it differs from."""
    with pytest.raises(RowFault, match="while row 1 has"):
        take(first, second)


def test_nulls_whole_numbers_and_new_keys_pass() -> None:
    """What Arrow unifies by itself is no fault."""
    take({"a": 1, "b": None}, {"a": 1.5, "b": "x"}, {"a": None, "c": [{"d": 1}, {"e": 2}]})


def test_too_many_keys_are_refused() -> None:
    """Objects used as maps, with keys of their own in each row, do not grow the memory without end."""
    with pytest.raises(RowFault, match="more than 1000 different keys"):
        take(*({"a": {str(number): 1}} for number in range(MAX_KEYS + 1)))


def test_numbers_beyond_64_bits_are_refused() -> None:
    """Arrow holds whole numbers of 64 bits."""
    take({"a": 2**63 - 1})
    with pytest.raises(RowFault, match="64 bits"):
        take({"a": 2**63})


def test_columns_of_dates_are_seen_in_json_lines() -> None:
    """A column that holds dates only is known as such until another text comes."""
    assert take({"a": "2024-01-01"}, {"a": "2024-01-01T10:00:00Z"}).dates_in("a")
    assert not take({"a": "2024-01-01"}, {"a": "tomorrow"}).dates_in("a")


@pytest.mark.parametrize("row", [{"b": 1}, {"a": 1.5}, {"n": "x"}, {"d": "tomorrow"}])
def test_types_are_fixed_after_the_first_batch(row: dict[str, Any]) -> None:
    """The same row passes early and is refused late."""
    first = {"a": 1, "n": None, "d": "2024-01-01"}
    take(first, row)
    with pytest.raises(RowFault, match="has fixed the columns and their types"):
        take(first, row, late=True)
