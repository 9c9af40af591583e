"""A YAML document as data with positions, and the findings about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tools.findings import Finding, compose

Location = tuple[str | int, ...]
Position = tuple[int, int]


@dataclass(slots=True)
class Document:
    """One YAML document: its data and where each part of it stands.

    keys, values: location in the data -> (line, column), 1-based.
    findings: faults that did not prevent reading on.
    """

    file: str
    data: Any = None
    keys: dict[Location, Position] = field(default_factory=dict)
    values: dict[Location, Position] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def key_at(self, location: Location) -> Position:
        """Position of the key at `location`, else of the nearest thing around it."""
        return self.keys.get(location) or self.value_at(location)

    def value_at(self, location: Location) -> Position:
        """Position of the value at `location`, else of the nearest thing around it."""
        while location:
            if location in self.values:
                return self.values[location]
            location = location[:-1]
        return self.values.get((), (1, 1))

    def finding(
        self,
        location: Location,
        rule: str,
        found: str,
        allowed: str | None = None,
        remedy: str | None = None,
        *,
        key: bool = False,
    ) -> Finding:
        """A finding of severity error at the value (or, with `key`, at the key) of `location`."""
        line, column = self.key_at(location) if key else self.value_at(location)
        return Finding(self.file, line, column, rule, "error", compose(found, allowed, remedy))


class Refused(Exception):  # noqa: N818 - a verdict on the input, no error of ours
    """Reading cannot go on; carries the one finding that says why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


def fault(
    file: str, where: Position, rule: str, found: str, allowed: str | None = None, remedy: str | None = None
) -> Finding:
    """A finding of severity error at a position."""
    return Finding(file, where[0], where[1], rule, "error", compose(found, allowed, remedy))
