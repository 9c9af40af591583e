"""One fault in one place of one file, as every rule yields it and every reporter prints it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """A fault with its place.

    file: path relative to the repository's root, with forward slashes.
    line, column: 1-based; 1:1 when the fault is of the file as a whole.
    rule: the id under which the guide explains it.
    message: what was found; allowed: ...; what to do next.
    """

    file: str
    line: int
    column: int
    rule: str
    severity: Severity
    message: str

    @property
    def place(self) -> str:
        """`file:line:column`, which terminals and editors make clickable."""
        return f"{self.file}:{self.line}:{self.column}"


def compose(found: str, allowed: str | None = None, remedy: str | None = None) -> str:
    """Join the parts of a message in the one order that all messages share."""
    parts = [found]
    if allowed:
        parts.append(f"allowed: {allowed}")
    if remedy:
        parts.append(remedy)
    return "; ".join(parts)


def printable(text: str) -> str:
    """The text with escapes for what a terminal or a comment must not get as it is."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def quote(value: object, limit: int = 60) -> str:
    """A value as a message shows it: one line, printable, at most `limit` characters."""
    text = value if isinstance(value, str) else repr(value)
    safe = printable(text[: limit + 1])
    return f'"{safe[:limit]}..."' if len(safe) > limit else f'"{safe}"'
