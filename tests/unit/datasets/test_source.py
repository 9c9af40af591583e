"""Splitting files into rows: positions, limits, and the same rows whatever the file's layout."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tools.datasets.decode import MAX_ROW, Row
from tools.datasets.jsonarray import array_rows
from tools.datasets.source import Source
from tools.errors import UsageError

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def rows_of(path: Path) -> list[Row]:
    """All rows of a file."""
    with Source(path) as source:
        return list(source.rows())


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    """The data in chunks of a size that cuts everything in two."""
    return (data[start : start + size] for start in range(0, len(data), size))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(VALUES, min_size=1, max_size=4), st.integers(1, 40), st.sampled_from([None, 0, 3]), st.booleans())
def test_an_array_gives_its_elements_wherever_chunks_end(
    values: list[Any], size: int, indent: int | None, ascii_only: bool
) -> None:
    """Elements come out as Python's own decoder reads them, each at the line where it begins."""
    text = json.dumps(values, indent=indent, ensure_ascii=ascii_only)
    rows = list(array_rows(pieces(text.encode(), size), begins_with_bom=False))
    assert [row.fault for row in rows] == [None] * len(values)
    assert [row.value for row in rows] == values
    lines = 1
    for row, value in zip(rows, values, strict=True):
        if indent is not None:
            lines += 1
            assert row.line == lines
            lines += json.dumps(value, indent=indent, ensure_ascii=ascii_only).count("\n")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200), st.sampled_from(["json", "jsonl"]))
def test_any_bytes_give_rows_or_faults(tmp_path: Path, data: bytes, extension: str) -> None:
    """No content makes the reader raise; every row has a value or a fault."""
    path = tmp_path / f"any.{extension}"
    path.write_bytes(data)
    for row in rows_of(path):
        assert row.line >= 1
        assert row.fault is None or row.value is None


def test_a_huge_row_is_refused_and_the_next_one_is_read(tmp_path: Path) -> None:
    """A line larger than a row may be is an error of that line only."""
    path = tmp_path / "huge.jsonl"
    path.write_bytes(b'{"a": "' + b"x" * (2 * MAX_ROW) + b'"}\n{"a": "b"}\n')
    first, second = rows_of(path)
    assert first.fault is not None
    assert "more than 4 MiB in one row" in first.fault
    assert (second.value, second.line) == ({"a": "b"}, 2)


def test_a_huge_element_ends_the_array(tmp_path: Path) -> None:
    """An element larger than a row may be is an error; the array is not read on."""
    path = tmp_path / "huge.json"
    path.write_bytes(b'[{"a": "b"},\n{"a": "' + b"x" * (3 * MAX_ROW) + b'"}]')
    faults = [row.fault for row in rows_of(path)]
    assert faults[0] is None
    assert str(faults[1]).startswith("more than 4 MiB in one row")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '[{"a":' + "9" * 5000 + "}]"])
def test_hostile_nesting_and_numbers_are_faults(text: str, tmp_path: Path) -> None:
    """Deep nesting and numbers of thousands of digits end as faults, not as tracebacks."""
    path = tmp_path / "hostile.json"
    path.write_text(text)
    assert rows_of(path)[-1].fault


def test_what_is_no_file_is_wrong_usage(tmp_path: Path) -> None:
    """A folder, or a path that is not there, is refused before anything is read."""
    with pytest.raises(UsageError, match=r"no regular file|Is a directory"):
        Source(tmp_path)
    with pytest.raises(UsageError, match="No such file"):
        Source(tmp_path / "none.json")
