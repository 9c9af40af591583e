"""Admins and licences of the platform are listed once.

A list with repeats was merged badly, and somebody will remove the wrong line.

Fails:

    admins:
      - {username: ewa.admin, id: 302}
      - {username: ewa.admin, id: 302}

Passes:

    admins:
      - {username: piotr.admin, id: 301}
      - {username: ewa.admin, id: 302}
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding, quote
from tools.formats.environment import Platform
from tools.formats.people import repeated
from tools.rules.entry import Entry

ID = "platform-list"
KIND = "platform"
NEEDS: tuple[str, ...] = ()


def check(entry: Entry[Platform]) -> Iterator[Finding]:
    """Look for names listed twice."""
    document, usable = entry.parsed.document, entry.parsed.usable
    for index, found in repeated(entry.value.admins if usable("admins") else []):
        yield document.finding(("admins", index), ID, found, "each person once", "remove it, or correct its id")
    licences = entry.value.licences if usable("licences") else []
    for index, name in enumerate(licences):
        if name in licences[:index]:
            yield document.finding(("licences", index), ID, f"{quote(name)} a second time", "each once", "remove it")
