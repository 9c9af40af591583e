"""JSON Lines: one object a line. Faulty lines are reported and reading goes on with the next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from tools.datasets.decode import MAX_ROW, TOO_LARGE, Row, value_of
from tools.datasets.faults import RowFault

_BLANKS = " \t\r\n"
_BOM = b"\xef\xbb\xbf"
_SPREAD = RowFault(
    "the first line holds only the beginning of a JSON value",
    "an array of objects [{...}, {...}], or one whole object on each line",
    "write each row on one line, or put the rows into one array; if one object holds them under a key, take them out, "
    "for instance: jq '.data' FILE > rows.json",
)


def line_rows(stream: BinaryIO) -> Iterator[Row]:
    """The rows of JSON Lines; blank lines are none."""
    number = offset = 0
    for line_number, raw in enumerate(_lines(stream), start=1):
        start, offset = offset, offset + len(raw)
        text = raw.removeprefix(_BOM) if line_number == 1 else raw
        if not text.strip():
            continue
        number += 1
        value, fault = _read(text)
        if fault and number == 1 and _is_beginning(text):
            yield Row(number, line_number, None, str(_SPREAD), len(raw), start)
            return
        yield Row(number, line_number, value, fault, len(raw), start)


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Lines of at most MAX_ROW + 1 bytes; of a longer one the rest is passed over."""
    while line := stream.readline(MAX_ROW + 1):
        rest = line
        while len(rest) > MAX_ROW and not rest.endswith(b"\n"):
            rest = stream.readline(MAX_ROW + 1)
        yield line


def _read(raw: bytes) -> tuple[Any, str | None]:
    if len(raw) > MAX_ROW:
        return None, str(TOO_LARGE)
    try:
        return value_of(raw.decode().strip(_BLANKS)), None
    except UnicodeDecodeError as error:
        found = f"byte 0x{raw[error.start]:02x} at byte {error.start + 1} of the line is not UTF-8"
        return None, str(RowFault(found, "UTF-8 text", "save the file as UTF-8"))
    except RowFault as fault:
        return None, str(fault)


def _is_beginning(raw: bytes) -> bool:
    """Whether a line is an object's or array's opening, as in a pretty-printed file."""
    return raw.strip() in {b"{", b"["} or (raw.lstrip()[:1] == b"{" and raw.rstrip()[-1:] in {b",", b"[", b"{"})
