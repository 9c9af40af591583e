"""There are enough approvers, each listed once.

An experiment that needs three approvals of two approvers could never be authorized.

Fails:

    approvers: [maria.wisniewska]
    required_approvals: 2

Passes:

    approvers: [maria.wisniewska, tomasz.zielinski]
    required_approvals: 2
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding, quote
from tools.formats.tenant import Tenant
from tools.rules.entry import Entry

ID = "tenant-approvals"
KIND = "tenant"
NEEDS: tuple[str, ...] = ()
_LISTS = ("members", "approvers", "environments", "models", "priorities")


def check(entry: Entry[Tenant]) -> Iterator[Finding]:
    """Count approvers, and look for names listed twice."""
    document, usable = entry.parsed.document, entry.parsed.usable
    for field in _LISTS:
        names = getattr(entry.value, field) if usable(field) else []
        for index, name in enumerate(names):
            if name in names[:index]:
                yield document.finding((field, index), ID, f"{quote(name)} a second time", "each once", "remove it")
    if usable("approvers", "required_approvals"):
        there, needed = len(set(entry.value.approvers)), entry.value.required_approvals
        if needed > there:
            found = f"{needed} approvals are required of {there} approvers"
            remedy = "add approvers, or lower required_approvals"
            yield document.finding(("required_approvals",), ID, found, f"at most {there}", remedy)
