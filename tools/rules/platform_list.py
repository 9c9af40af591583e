"""Admins and licences of the platform are listed once.

A list with repeats was merged badly, and somebody will remove the wrong line.

Fails:

    admins: [ewa.admin, ewa.admin]

Passes:

    admins: [piotr.admin, ewa.admin]
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding, quote
from tools.formats.environment import Platform
from tools.rules.entry import Entry

ID = "platform-list"
KIND = "platform"
NEEDS: tuple[str, ...] = ()


def check(entry: Entry[Platform]) -> Iterator[Finding]:
    """Look for names listed twice."""
    for field in ("admins", "licences"):
        names = getattr(entry.value, field) if entry.parsed.usable(field) else []
        for index, name in enumerate(names):
            if name in names[:index]:
                where = (field, index)
                yield entry.parsed.document.finding(where, ID, f"{quote(name)} a second time", "each once", "remove it")
