"""There are enough approvers, and each person, environment, model and priority is listed once.

An experiment that needs three approvals of two approvers could never be authorized.

Fails:

    approvers:
      - {username: maria.wisniewska, id: 201}
    required_approvals: 2

Passes:

    approvers:
      - {username: maria.wisniewska, id: 201}
      - {username: tomasz.zielinski, id: 202}
    required_approvals: 2
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding, quote
from tools.formats.people import repeated
from tools.formats.tenant import Tenant
from tools.rules.entry import Entry

ID = "tenant-approvals"
KIND = "tenant"
NEEDS: tuple[str, ...] = ()
_PEOPLE = ("members", "approvers")
_NAMES = ("environments", "models", "priorities")


def check(entry: Entry[Tenant]) -> Iterator[Finding]:
    """Count approvers, and look for names listed twice."""
    document, usable = entry.parsed.document, entry.parsed.usable
    for field in _PEOPLE:
        for index, found in repeated(getattr(entry.value, field) if usable(field) else []):
            yield document.finding((field, index), ID, found, "each person once", "remove it, or correct its id")
    for field in _NAMES:
        names = getattr(entry.value, field) if usable(field) else []
        for index, name in enumerate(names):
            if name in names[:index]:
                yield document.finding((field, index), ID, f"{quote(name)} a second time", "each once", "remove it")
    if usable("approvers", "required_approvals"):
        there, needed = len({person.id for person in entry.value.approvers}), entry.value.required_approvals
        if needed > there:
            found = f"{needed} approvals are required of {there} approvers"
            remedy = "add approvers, or lower required_approvals"
            yield document.finding(("required_approvals",), ID, found, f"at most {there}", remedy)
