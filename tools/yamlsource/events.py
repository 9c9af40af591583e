"""libyaml's events turned into plain data in one pass, without recursion: neither deep nesting nor an alias bomb costs more than its text."""

from __future__ import annotations

from typing import Any

import yaml

from tools.findings import Finding, quote
from tools.yamlsource.document import Document, Location, Position, Refused, fault
from tools.yamlsource.scalars import scalar

MAX_DEPTH = 20


class Reader:
    """Builds data from events; `stack` holds the open collections."""

    def __init__(self, document: Document, end: Position) -> None:
        self.document = document
        self.end = end  # libyaml puts what is missing at the end of the text one line below the last
        self.stack: list[tuple[Any, Location]] = []
        self.key: list[str | None] = []
        self.documents = 0

    def take(self, event: Any) -> None:
        """Add one event of libyaml.

        Raises:
            Refused: the document cannot be read on.
        """
        kind = type(event)
        if kind is yaml.ScalarEvent:
            self._scalar(event)
        elif kind is yaml.MappingStartEvent:
            self._open({}, event)
        elif kind is yaml.SequenceStartEvent:
            self._open([], event)
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            self.stack.pop()
            self.key.pop()
        elif kind is yaml.AliasEvent:
            raise Refused(
                self._fault(event, "yaml-alias", f"alias *{event.anchor}", "plain values", "write the value out")
            )
        elif kind is yaml.DocumentStartEvent:
            self.documents += 1
            if self.documents > 1:
                raise Refused(
                    self._fault(
                        event,
                        "yaml-documents",
                        "a second document",
                        "one document a file",
                        "move it to a file of its own",
                    )
                )

    def _scalar(self, event: Any) -> None:
        self._check_decorations(event)
        position = min((event.start_mark.line + 1, event.start_mark.column + 1), self.end)
        if self.stack and isinstance(self.stack[-1][0], dict) and self.key[-1] is None:
            self._take_key(event, position)
            return
        plain = event.implicit[0]
        self._put(scalar(event.value) if plain else event.value, position)

    def _take_key(self, event: Any, position: Position) -> None:
        container, location = self.stack[-1]
        name = event.value
        if name in container:
            first = self.document.keys[(*location, name)][0]
            self.document.findings.append(
                self._fault(
                    event,
                    "yaml-duplicate-key",
                    f"duplicate key {quote(name)}, first used in line {first}",
                    "each key once",
                    "remove one",
                )
            )
        self.key[-1] = name
        self.document.keys[(*location, name)] = position

    def _open(self, container: Any, event: Any) -> None:
        self._check_decorations(event)
        if len(self.stack) >= MAX_DEPTH:
            raise Refused(
                self._fault(event, "yaml-depth", f"nesting deeper than {MAX_DEPTH} levels", f"at most {MAX_DEPTH}")
            )
        if self.stack and isinstance(self.stack[-1][0], dict) and self.key[-1] is None:
            raise Refused(self._fault(event, "yaml-key", "a list or mapping as a key", "text keys"))
        location = self._put(container, (event.start_mark.line + 1, event.start_mark.column + 1))
        self.stack.append((container, location))
        self.key.append(None)

    def _put(self, value: Any, position: Position) -> Location:
        if not self.stack:
            self.document.data = value
            location: Location = ()
        else:
            container, parent = self.stack[-1]
            if isinstance(container, dict):
                name = self.key[-1]
                assert name is not None
                location = (*parent, name)
                container[name] = value
                self.key[-1] = None
            else:
                location = (*parent, len(container))
                container.append(value)
        self.document.values[location] = position
        return location

    def _check_decorations(self, event: Any) -> None:
        if event.anchor is not None:
            raise Refused(
                self._fault(
                    event,
                    "yaml-alias",
                    f"anchor &{event.anchor}",
                    "plain values",
                    "write the value out where it is used",
                )
            )
        if event.tag is not None:
            raise Refused(
                self._fault(event, "yaml-tag", f"tag {quote(event.tag)}", "values without tags", "remove the tag")
            )

    def _fault(
        self, event: Any, rule: str, found: str, allowed: str | None = None, remedy: str | None = None
    ) -> Finding:
        mark = event.start_mark
        return fault(self.document.file, (mark.line + 1, mark.column + 1), rule, found, allowed, remedy)
