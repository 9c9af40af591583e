"""YAML as data with positions: what scalars mean, where things stand, what is refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from tools.yamlsource import MAX_BYTES, load, parse

SCALARS: list[tuple[str, Any]] = [
    ("1e-4", 1e-4), ("1.0e-4", 1e-4), ("1E5", 1e5), ("-2.5", -2.5), (".5", 0.5), ("3.", 3.0),
    ("7", 7), ("-7", -7), ("+7", 7), ("0", 0), ("010", 8), ("0x1F", 31), ("0b11", 3), ("1_000", 1000),
    ("true", True), ("False", False), ("yes", "yes"), ("no", "no"), ("on", "on"), ("off", "off"), ("y", "y"),
    ("null", None), ("~", None), ("", None), ("2026-11-23", "2026-11-23"), ("12:30:45", "12:30:45"),
    ("'1'", "1"), ('"true"', "true"), ("1.2.3", "1.2.3"), ("1e", "1e"), ("08", "08"), ("12fd25f", "12fd25f"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), SCALARS, ids=repr)
def test_a_scalar_means_what_the_trainer_reads(text: str, value: Any) -> None:
    """Numbers as OmegaConf reads them, words that YAML versions disagree about as text."""
    read = parse(f"key: {text}\n", "file.yaml").data["key"]
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(("text", "check"), [(".nan", math.isnan), (".inf", math.isinf), ("-.INF", math.isinf)])
def test_numbers_that_are_not_finite_are_read_as_such(text: str, check: Any) -> None:
    """A rule refuses them later, with a better message than "text"."""
    assert check(parse(f"key: {text}\n", "file.yaml").data["key"])


def test_every_key_and_value_has_its_position() -> None:
    """Lines and columns are counted from 1, in block and flow style, also after letters of several bytes."""
    document = parse("# comment\na: 1\nb:\n  - x\n  - {ż: y, c: [z]}\n", "file.yaml")
    assert document.data == {"a": 1, "b": ["x", {"ż": "y", "c": ["z"]}]}
    assert document.keys[("a",)] == (2, 1)
    assert document.values[("a",)] == (2, 4)
    assert document.values[("b", 0)] == (4, 5)
    assert document.keys[("b", 1, "c")] == (5, 12)
    assert document.values[("b", 1, "c", 0)] == (5, 16)
    assert document.value_at(("b", 1, "missing", "deeper")) == document.values[("b", 1)]


def test_duplicate_keys_are_all_found() -> None:
    """Each repetition is a finding at its own place, and reading goes on."""
    document = parse("a: 1\na: 2\nb: {c: 1, c: 2, c: 3}\n", "file.yaml")
    assert [(f.line, f.column, f.rule) for f in document.findings] == [
        (2, 1, "yaml-duplicate-key"),
        (3, 11, "yaml-duplicate-key"),
        (3, 17, "yaml-duplicate-key"),
    ]


@pytest.mark.parametrize(
    ("text", "rule", "line", "column"),
    [
        ("a: *b\n", "yaml-alias", 1, 4),
        ("a: &b 1\n", "yaml-alias", 1, 4),
        ("a: !x 1\n", "yaml-tag", 1, 4),
        ("a: 1\n---\nb: 2\n", "yaml-documents", 2, 1),
        ("? [a]\n: 1\n", "yaml-key", 1, 3),
        ("a: [" * 30, "yaml-depth", 1, 41),
        ("a: [1\n", "yaml-syntax", 2, 1),
        ("a: b: c\n", "yaml-syntax", 1, 5),
    ],
)
def test_what_is_no_plain_data_is_refused_at_its_place(text: str, rule: str, line: int, column: int) -> None:
    """Nothing is left of a refused document, and one finding says where reading stopped."""
    document = parse(text, "file.yaml")
    assert document.data is None
    assert [(f.rule, f.line, f.column) for f in document.findings] == [(rule, line, column)]


def test_a_file_of_the_largest_size_is_read(tmp_path: Path) -> None:
    """The limit is a number of bytes; at the limit all is well."""
    path = tmp_path / "file.yaml"
    path.write_text("a: " + "x" * (MAX_BYTES - 3))
    assert load(path, "file.yaml").findings == []
    path.write_text("a: " + "x" * (MAX_BYTES - 2))
    assert [finding.rule for finding in load(path, "file.yaml").findings] == ["file-size"]


def test_a_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    """Editors on Windows write one."""
    path = tmp_path / "file.yaml"
    path.write_bytes(b"\xef\xbb\xbfversion: 1\r\n")
    assert load(path, "file.yaml").data == {"version": 1}


def test_a_missing_file_and_a_folder_are_findings(tmp_path: Path) -> None:
    """What cannot be read is said so, without an exception."""
    assert [finding.rule for finding in load(tmp_path / "missing.yaml", "missing.yaml").findings] == ["file-kind"]
    assert [finding.rule for finding in load(tmp_path, "folder").findings] == ["file-kind"]


@pytest.mark.parametrize("text", ["---", "--- ", "? a", "? ", "%YAML 1.1\n---", "- ", "a:"])
def test_what_is_missing_at_the_end_is_placed_inside_the_text(text: str) -> None:
    """An empty value after the last character has a position that an editor can show."""
    document = parse(text, "file.yaml")
    lines = text.split("\n")
    assert all(line <= len(lines) and column <= len(lines[line - 1]) + 1 for line, column in document.values.values())
