"""One row's text as JSON, stricter than Python: what LLaMA Factory's readers refuse or change in silence is a fault."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, NamedTuple, NoReturn

from tools.datasets.faults import RowFault
from tools.findings import quote

# One row becomes Python objects of up to 25 times its size: this bounds memory, and no model reads a million tokens.
MAX_ROW = 4 << 20
_SHOWN = 24
TOO_LARGE = RowFault(f"more than {MAX_ROW >> 20} MiB in one row", f"at most {MAX_ROW >> 20} MiB", "split the row")


class Row(NamedTuple):
    """One row: its number and first line (both from 1), and its value or the fault that hides it.

    size: about its length in bytes. offset: its first byte; -1 in an array.
    """

    number: int
    line: int
    value: Any
    fault: str | None
    size: int
    offset: int = -1


def _no_constant(name: str) -> NoReturn:
    raise RowFault(f"{name} is no JSON", "numbers, or null", "write null, or leave the key out")


_decoder = json.JSONDecoder(parse_constant=_no_constant)
scan = _decoder.raw_decode


def value_of(text: str) -> Any:
    """The value of a text that holds one JSON value and nothing more, no blanks either.

    Raises:
        RowFault: it does not.
    """
    try:
        value, end = scan(text)
    except (ValueError, RecursionError) as error:
        raise syntax_fault(error) from None
    if end != len(text):
        raise syntax_fault(json.JSONDecodeError("Extra data", text, end))
    inspect(text, value)
    return value


def syntax_fault(error: ValueError | RecursionError, line: int | None = None) -> RowFault:
    """What the decoder complained of, in our words, with the text that it stumbled over."""
    if isinstance(error, RecursionError):
        return RowFault("nested too deeply", "a few levels", "write the inner part as text")
    if not isinstance(error, json.JSONDecodeError):
        return RowFault("a number of thousands of digits", "numbers of 64 bits", "write it as text")
    rest = error.doc[error.pos : error.pos + _SHOWN]
    found = f"not valid JSON: {error.msg.removesuffix(' at')} at {quote(rest) if rest else 'the end'}"
    return RowFault(found, "JSON as RFC 8259 has it", "correct it with any JSON linter", line)


def inspect(text: str, value: Any) -> None:
    """Look for what the decoder lets pass: keys given twice, halves of surrogate pairs.

    Raises:
        RowFault: there is one.
    """
    # In valid JSON `":` ends a key, save after a backslash; where counts differ (or a blank precedes a colon) look closely.
    if text.count('":') - text.count('\\":') != _keys(value):
        json.loads(text, object_pairs_hook=_refuse_twins)
    if "\\ud" in text or "\\uD" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            fault = RowFault(
                "half a surrogate pair (a \\ud... escape alone)", "whole characters", "repair the text at its source"
            )
            raise fault from None


def _keys(value: Any) -> int:
    if type(value) is dict:
        nested = value.values()
        return len(value) + sum([_keys(item) for item in nested if type(item) is dict or type(item) is list])
    if type(value) is list:
        return sum([_keys(item) for item in value if type(item) is dict or type(item) is list])
    return 0


def _refuse_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        name, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise RowFault(f"the key {quote(name)} stands twice", "each key once", "delete one of the two")
    return found
