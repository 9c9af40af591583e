"""Whole files, as people write them: what is recognised, what is counted, and where errors are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.datasets.check import MAX_ERRORS, check
from tools.datasets.detect import Choice

FIXTURES = Path(__file__).parents[2] / "fixtures" / "datasets"

GOOD = {
    "alpaca.json": ("alpaca", "prompt query response history system", 3, 0, 0),
    "alpaca.jsonl": ("alpaca", "prompt response", 4, 1, 1),
    "dolly.jsonl": ("alpaca", "prompt query response", 2, 0, 0),
    "kto.jsonl": ("alpaca", "prompt response kto_tag", 2, 0, 0),
    "kto_sharegpt.json": ("sharegpt", "messages kto_tag", 2, 0, 0),
    "messages.jsonl": ("sharegpt", "messages", 2, 0, 0),
    "openai_tools.jsonl": ("openai", "messages tools", 2, 0, 0),
    "preference_alpaca.json": ("alpaca", "prompt query chosen rejected", 2, 0, 0),
    "preference_sharegpt.json": ("sharegpt", "messages chosen rejected", 2, 0, 0),
    "pretrain.jsonl": ("alpaca", "prompt", 2, 0, 0),
    "questions.jsonl": ("alpaca", "prompt response", 2, 0, 0),
    "sharegpt_tools.json": ("sharegpt", "messages tools", 2, 0, 0),
    "windows.jsonl": ("alpaca", "prompt response", 2, 0, 0),
}
# File -> (row, line, a part of the message) of each error.
BAD: dict[str, list[tuple[int, int, str]]] = {
    "arrays.json": [(1, 2, "the row is a list"), (2, 3, "the row is a list")],
    "bad_history.json": [(1, 2, '"history" holds a list of 1')],
    "broken_line.jsonl": [(2, 2, "not valid JSON")],
    "cut_off.json": [(2, 3, "nothing after it was read")],
    "dates.jsonl": [(1, 1, 'every "output" is a date')],
    "different_arguments.jsonl": [(2, 2, "objects with different keys (account, of)")],
    "empty.jsonl": [(0, 1, "no rows")],
    "empty_array.json": [(0, 1, "no rows")],
    "ends_with_tool.jsonl": [(1, 1, "the last message is a tool's result")],
    "function_call_no_json.json": [(1, 2, "text that is no JSON")],
    "half_a_character.jsonl": [(1, 1, "half a surrogate pair")],
    "image_placeholder.jsonl": [(2, 2, '"instruction" holds <image>')],
    "images.json": [(1, 2, 'the column "images" holds media')],
    "key_twice.jsonl": [(2, 2, 'the key "output" stands twice')],
    "kto_as_text.jsonl": [(2, 2, '"kto_tag" is missing or null')],
    "latin.jsonl": [(2, 2, "byte 0xf1 at byte 55 of the line is not UTF-8")],
    "nan.jsonl": [(1, 1, "NaN is no JSON")],
    "null_answer.jsonl": [(2, 2, '"output" is missing or null'), (3, 3, '"output" is missing or null')],
    "number_for_text.json": [(2, 3, '"output": a number, while row 1 has text')],
    "other_column_mixed.jsonl": [(2, 2, '"meta": text, while row 1 has a number')],
    "preference_one_sided.json": [(2, 3, '"rejected" is missing or null')],
    "preference_whole_conversations.jsonl": [(1, 1, '"chosen" is a whole conversation')],
    "roles_out_of_order.json": [
        (2, 3, "turn 1 (system message not counted) is of the role assistant"),
        (3, 4, "1 turns"),
        (4, 5, 'the role "bot"'),
        (5, 6, "an empty list"),
        (6, 7, "message 2 is a system message"),
    ],
    "tools_as_list.json": [(1, 2, '"tools" is a list; allowed: text that holds JSON')],
    "trailing_comma.json": [(2, 4, "a comma before ]")],
    "unknown_columns.jsonl": [(1, 1, "give --column prompt=NAME")],
    "wrapped.json": [(1, 1, "only the beginning of a JSON value")],
    "wrapped_in_one_line.json": [(1, 1, 'one object that holds the rows under "data"')],
}


def test_every_fixture_has_an_expectation() -> None:
    """No file of the fixtures goes unchecked."""
    assert {path.name for path in (FIXTURES / "good").iterdir()} == set(GOOD)
    assert {path.name for path in (FIXTURES / "bad").iterdir()} == set(BAD)


@pytest.mark.parametrize("name", GOOD)
def test_a_good_file_is_recognised_and_counted(name: str) -> None:
    """Format, columns, rows, empty answers and duplicates are found, and no errors."""
    report = check(FIXTURES / "good" / name, Choice())
    assert report.errors == []
    assert report.layout is not None
    found = (report.layout.format, " ".join(report.layout.columns), report.rows, report.empty, report.duplicates)
    assert found == GOOD[name]


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_has_its_errors_with_row_and_line(name: str) -> None:
    """Each faulty row is named by number and line, with what was found."""
    errors = check(FIXTURES / "bad" / name, Choice()).errors
    assert [(error.row, error.line) for error in errors] == [(row, line) for row, line, _ in BAD[name]]
    assert [part for error, (_, _, part) in zip(errors, BAD[name], strict=True) if part not in error.message] == []


@pytest.mark.parametrize("name", BAD)
def test_every_message_says_what_to_do(name: str) -> None:
    """Each message has what was found and a remedy, most of them what is allowed as well."""
    for error in check(FIXTURES / "bad" / name, Choice()).errors:
        assert error.message.count("; ") >= 1


def test_hash_and_size_are_of_the_whole_file() -> None:
    """Hash and size cover every byte, also behind the place where reading had to stop."""
    import hashlib

    path = FIXTURES / "bad" / "cut_off.json"
    report = check(path, Choice())
    assert (report.sha256, report.size) == (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size)


def test_equal_rows_count_once_whatever_their_layout(tmp_path: Path) -> None:
    """Neither blanks nor the order of keys nor escapes make a row another one; a type does."""
    path = tmp_path / "same.jsonl"
    path.write_text(
        '{"instruction": "é", "output": "b", "n": {"x": 1, "y": [1]}}\n'
        '{"output":"b","n":{"y":[1],"x":1},"instruction":"\\u00e9"}\n'
        '{"instruction": "é", "output": "b", "n": {"x": 1.0, "y": [1]}}\n'
    )
    assert check(path, Choice()).duplicates == 1


def test_errors_are_listed_up_to_a_thousand(tmp_path: Path) -> None:
    """A file of nothing but errors does not fill the memory with them."""
    path = tmp_path / "all-bad.jsonl"
    path.write_text('{"instruction": "a", "output": "b"}\n' + '{"instruction": "a"}\n' * 3000)
    errors = check(path, Choice()).errors
    assert len(errors) == MAX_ERRORS + 1
    assert "the rest is not listed" in errors[-1].message


def test_a_telling_column_that_comes_late_is_not_lost(tmp_path: Path) -> None:
    """A system column that the first rows lack is an error at its first row, not silently left out."""
    path = tmp_path / "late.jsonl"
    plain = '{"instruction": "a", "output": "b"}\n'
    path.write_text(plain * 60 + '{"instruction": "a", "output": "b", "system": "Be brief."}\n' + plain)
    (error,) = check(path, Choice()).errors
    assert (error.row, error.line) == (61, 61)
    assert 'the column "system" appears here for the first time' in error.message


def test_another_extension_is_refused_by_name(tmp_path: Path) -> None:
    """LLaMA Factory reads a file by its extension, so a CSV file is refused before it is read."""
    path = tmp_path / "rows.csv"
    path.write_text("instruction,output\na,b\n")
    (error,) = check(path, Choice()).errors
    assert (error.row, error.line) == (0, 1)
    assert 'the extension is ".csv"; allowed: .json or .jsonl' in error.message
