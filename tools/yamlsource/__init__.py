"""YAML from a merge request, read as data with positions, or refused.

`files` reads bytes safely, `events` builds the data, `scalars` says what a word means, `document` keeps positions and findings.
"""

from __future__ import annotations

from pathlib import Path

import yaml
from yaml._yaml import CParser

from tools.yamlsource.document import Document, Location, Position, Refused, fault
from tools.yamlsource.events import Reader
from tools.yamlsource.files import MAX_BYTES, position_of, read, unprintable

__all__ = ["MAX_BYTES", "Document", "Location", "Position", "load", "parse"]


def load(path: Path, file: str) -> Document:
    """Read the file at `path` (shown as `file` in findings). Faults are in `.findings`; `.data` is None where nothing could be read."""
    try:
        text = read(path, file)
        return parse(text, file)
    except Refused as refused:
        return Document(file, findings=[refused.finding])


def parse(text: str, file: str) -> Document:
    """Read YAML text of exactly one document."""
    end = position_of(text, None)
    reader = Reader(Document(file), end)
    try:
        events = CParser(text)
        while (event := events.get_event()) is not None:
            reader.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = min((mark.line + 1, mark.column + 1), end) if mark else (1, 1)
        reader.document.findings.append(
            fault(
                file,
                where,
                "yaml-syntax",
                f"not valid YAML: {error.problem or error.context}",
                "YAML 1.2 mappings, lists and scalars",
            )
        )
        reader.document.data = None
    except yaml.reader.ReaderError as error:
        where = position_of(text, error.position if isinstance(error.position, int) else 0)
        reader.document.findings.append(unprintable(file, where))
        reader.document.data = None
    except Refused as refused:
        reader.document.findings.append(refused.finding)
        reader.document.data = None
    return reader.document
