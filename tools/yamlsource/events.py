"""libyaml's events turned into plain data in one pass, without recursion: neither deep nesting nor an alias bomb costs more than its text."""

from __future__ import annotations

from typing import Any

import yaml

from tools.findings import Finding, quote
from tools.yamlsource.document import Document, Location, Position, Refused, fault
from tools.yamlsource.scalars import scalar

MAX_DEPTH = 20


class Reader:
    """Builds data from events. A list or mapping is open from its start to its end; `stack` holds those around it."""

    __slots__ = ("container", "document", "documents", "end", "key", "keys", "location", "stack", "values")

    def __init__(self, document: Document, end: Position) -> None:
        self.document = document
        self.keys, self.values = document.keys, document.values
        self.end = end  # libyaml puts what is missing at the end of the text one line below the last
        self.stack: list[tuple[Any, Location]] = []
        self.container: Any = None  # the innermost open list or mapping, and where it stands
        self.location: Location = ()
        self.key: str | None = None  # of the mapping, while its value is awaited
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
            self.container, self.location = self.stack.pop()
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
        """Most events are scalars, so this one saves calls."""
        if event.anchor is not None or event.tag is not None:
            raise Refused(self._decoration(event))
        mark = event.start_mark
        position = (mark.line + 1, mark.column + 1)
        if position > self.end:  # noqa: PLR1730 - a third of the time of min()
            position = self.end
        value = event.value
        if self.key is None and type(self.container) is dict:
            if value in self.container:
                self.document.findings.append(self._duplicate(event))
            self.key = value
            self.keys[(*self.location, value)] = position
        else:
            self._put(scalar(value) if event.implicit[0] else value, position)

    def _open(self, container: Any, event: Any) -> None:
        if event.anchor is not None or event.tag is not None:
            raise Refused(self._decoration(event))
        if len(self.stack) >= MAX_DEPTH:
            raise Refused(
                self._fault(event, "yaml-depth", f"nesting deeper than {MAX_DEPTH} levels", f"at most {MAX_DEPTH}")
            )
        if self.key is None and type(self.container) is dict:
            raise Refused(self._fault(event, "yaml-key", "a list or mapping as a key", "text keys"))
        location = self._put(container, (event.start_mark.line + 1, event.start_mark.column + 1))
        self.stack.append((self.container, self.location))
        self.container, self.location = container, location

    def _put(self, value: Any, position: Position) -> Location:
        container = self.container
        if type(container) is dict:
            assert self.key is not None
            location: Location = (*self.location, self.key)
            container[self.key] = value
            self.key = None
        elif container is None:
            self.document.data = value
            location = ()
        else:
            location = (*self.location, len(container))
            container.append(value)
        self.values[location] = position
        return location

    def _duplicate(self, event: Any) -> Finding:
        first = self.keys[(*self.location, event.value)][0]
        return self._fault(
            event,
            "yaml-duplicate-key",
            f"duplicate key {quote(event.value)}, first used in line {first}",
            "each key once",
            "remove one",
        )

    def _decoration(self, event: Any) -> Finding:
        """The finding about an anchor or a tag."""
        if event.anchor is not None:
            remedy = "write the value out where it is used"
            return self._fault(event, "yaml-alias", f"anchor &{event.anchor}", "plain values", remedy)
        return self._fault(event, "yaml-tag", f"tag {quote(event.tag)}", "values without tags", "remove the tag")

    def _fault(
        self, event: Any, rule: str, found: str, allowed: str | None = None, remedy: str | None = None
    ) -> Finding:
        mark = event.start_mark
        return fault(self.document.file, (mark.line + 1, mark.column + 1), rule, found, allowed, remedy)
