"""No `${...}` in any text or key.

LLaMA Factory reads its config with OmegaConf, which replaces `${oc.env:NAME}` by an environment variable of the trainer
and `${other.key}` by another value. What is reviewed would not be what runs, and a secret could end in a log.

Fails:

    description: reads ${oc.env:HOME}

Passes:

    description: reads nothing
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tools.findings import Finding, quote
from tools.rules.subject import Subject
from tools.yamlsource import Location

ID = "interpolation"
KIND = "experiment"
NEEDS: tuple[str, ...] = ()
SUPERSEDES = True


def check(subject: Subject) -> Iterator[Finding]:
    """Look at every text of the file."""
    document = subject.parsed.document
    for location, text, is_key in _texts((), document.data):
        if "${" in text:
            where = "key " if is_key else ""
            yield document.finding(
                location, ID, f"{where}{quote(text)} holds ${{...}}", "plain text", "write the value out", key=is_key
            )


def _texts(location: Location, value: Any) -> Iterator[tuple[Location, str, bool]]:
    if isinstance(value, str):
        yield location, value, False
    elif isinstance(value, dict):
        for key, item in value.items():
            yield (*location, key), key, True
            yield from _texts((*location, key), item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts((*location, index), item)
