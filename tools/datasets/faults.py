"""A fault of one row, as every reader and judge of this package raises it."""

from __future__ import annotations

from tools.findings import compose


class RowFault(Exception):  # noqa: N818 - a verdict on the data, no error of ours
    """The row cannot be trained on; the message says what was found, what is allowed and what to do.

    line: where in the file, when it is not the row's first line.
    """

    def __init__(
        self, found: str, allowed: str | None = None, remedy: str | None = None, line: int | None = None
    ) -> None:
        super().__init__(compose(found, allowed, remedy))
        self.line = line


_KINDS = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}


def kind(value: object) -> str:
    """What a JSON value is, in words."""
    return _KINDS.get(type(value), "null")
