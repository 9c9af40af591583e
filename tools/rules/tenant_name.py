"""A tenant's name makes names that are free and short enough.

Its AppProject and ApplicationSet are called `finetuning-<tenant>`; `finetuning-platform` and `finetuning-tenants` are the
platform's own. Its namespace is called `<tenant>-training` unless `namespace:` says otherwise, and has at most 40 characters.

Fails:

    tenants/platform/tenant.yaml

Passes:

    tenants/team-a/tenant.yaml
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding
from tools.formats.base import MAX_LABEL
from tools.formats.tenant import Tenant
from tools.rules.entry import Entry

ID = "tenant-name"
KIND = "tenant"
NEEDS: tuple[str, ...] = ()
_RESERVED = ("platform", "tenants")


def check(entry: Entry[Tenant]) -> Iterator[Finding]:
    """Look at the folder's name."""
    document = entry.parsed.document
    if entry.name in _RESERVED:
        found, allowed = f"the tenant is called {entry.name}", f"any name but {' and '.join(_RESERVED)}"
        yield document.finding((), ID, found, allowed, "rename its folder")
    namespace = f"{entry.name}-training"
    if entry.parsed.usable("namespace") and entry.value.namespace is None and len(namespace) > MAX_LABEL:
        found = f"the namespace {namespace} ({len(namespace)} characters)"
        yield document.finding((), ID, found, f"at most {MAX_LABEL}", "add namespace: with a shorter one")
