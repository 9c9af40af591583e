"""A JSON array, row by row, with the line of each row.

A streaming parser gives no positions, so the C scanner of `json` reads one element at a time from a window of text that
slides over the file: an element that does not parse yet waits for more text, up to the size that a row may have.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any

from tools.datasets.decode import MAX_ROW, TOO_LARGE, Row, inspect, scan, syntax_fault
from tools.datasets.faults import RowFault

_BLANKS = re.compile(r"[ \t\r\n]*")
_BAD_BYTE = re.compile("[\udc80-\udcff]")
# How near the window's end more text may change what was read: `\\ud83d`, `false` or `1.5e-10` cut in two.
_CUT = 16


class _Window:
    """The part of the file that is being read; `at` is the position in `text`, `line` the line there."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self.text, self.at, self.line, self.ended = "", 0, 1, False

    def fill(self) -> None:
        """Take the next chunk in and let go of what has been read."""
        chunk = next(self._chunks, b"")
        self.ended = not chunk
        self.text = self.text[self.at :] + self._decoder.decode(chunk, final=self.ended)
        self.at = 0

    def move(self, to: int) -> None:
        self.line += self.text.count("\n", self.at, to)
        self.at = to

    def peek(self) -> str:
        """The next character that is no blank; empty at the end of the file."""
        while True:
            match = _BLANKS.match(self.text, self.at)
            assert match is not None
            self.move(match.end())
            if self.at < len(self.text) or self.ended:
                return self.text[self.at : self.at + 1]
            self.fill()

    def value(self) -> tuple[Any, str]:
        """The JSON value at the position, and its text.

        Raises:
            RowFault: there is none, or it is larger than a row may be.
        """
        while True:
            try:
                value, end = scan(self.text, self.at)
            except (ValueError, RecursionError) as error:
                self._give_up(error)
            else:
                if end + _CUT <= len(self.text) or self.ended:
                    text = self.text[self.at : end]
                    self.move(end)
                    return value, text
            self.fill()

    def _give_up(self, error: ValueError | RecursionError) -> None:
        """Raise what is wrong, unless more text may mend it."""
        if not self.ended and len(self.text) - self.at <= MAX_ROW:
            return
        if not isinstance(error, json.JSONDecodeError):
            raise syntax_fault(error)
        cut = error.pos >= len(self.text) - _CUT or error.msg.startswith("Unterminated string")
        if cut and not self.ended:
            raise TOO_LARGE
        raise syntax_fault(error, self.line + self.text.count("\n", self.at, error.pos))


def array_rows(chunks: Iterator[bytes], *, begins_with_bom: bool) -> Iterator[Row]:
    """The elements of the array that the chunks hold. The first fault of JSON itself ends it: nothing after it is sure."""
    if begins_with_bom:
        found = RowFault(
            "a byte order mark before the array", "UTF-8 without one", "save the file as UTF-8 without BOM"
        )
        yield Row(1, 1, None, str(found), 0)
        return
    window = _Window(chunks)
    window.peek()
    window.move(window.at + 1)
    number = 0
    try:
        while window.peek() != "]" or number:
            number += 1
            line = window.line
            value, text = window.value()
            yield Row(number, line, *_judged(value, text), len(text))
            if _after_element(window):
                break
        else:
            window.move(window.at + 1)
        _expect_end(window)
    except RowFault as fault:
        yield Row(max(number, 1), fault.line or window.line, None, f"{fault}; nothing after it was read", 0)


def _judged(value: Any, text: str) -> tuple[Any, str | None]:
    if len(text) > MAX_ROW:
        return None, str(TOO_LARGE)
    bad = None if text.isascii() else _BAD_BYTE.search(text)
    if bad:
        found = f"byte 0x{ord(bad[0]) - 0xDC00:02x} is not UTF-8"
        return None, str(RowFault(found, "UTF-8 text", "save the file as UTF-8"))
    try:
        inspect(text, value)
    except RowFault as fault:
        return None, str(fault)
    return value, None


def _after_element(window: _Window) -> bool:
    """Pass the comma, or the closing bracket: True when that was the last element."""
    mark = window.peek()
    if mark not in {",", "]"}:
        found = f"{mark!r} after an element" if mark else "the file ends inside the array"
        raise RowFault(f"not valid JSON: {found}", "a comma, or ] at the end", "correct it with any JSON linter")
    window.move(window.at + 1)
    if mark == "," and window.peek() == "]":
        raise RowFault("not valid JSON: a comma before ]", "commas between elements only", "delete the comma")
    return mark == "]"


def _expect_end(window: _Window) -> None:
    if window.peek():
        raise RowFault("something follows the array", "one array and nothing after it", "delete what follows")
