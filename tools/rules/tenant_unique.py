"""Two tenants share neither a namespace nor a user id nor a group id.

Namespace and ids are what separates tenants in the cluster and on the storage: NFS believes the ids that a pod runs under.

Fails:

    uid: 10001          # tenants/team-a/tenant.yaml has it too

Passes:

    uid: 10002
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding
from tools.formats.tenant import Tenant
from tools.rules.entry import Entry

ID = "tenant-unique"
KIND = "tenant"
NEEDS: tuple[str, ...] = ()
_IDS = ("uid", "gid")


def check(entry: Entry[Tenant]) -> Iterator[Finding]:
    """Compare with each other valid tenant."""
    for path in sorted(entry.repository.root.glob("tenants/*/tenant.yaml")):
        name = path.parent.name
        other = entry.repository.tenant(name) if name != entry.name else None
        if other is None:
            continue
        mine = entry.value.namespace or f"{entry.name}-training"
        if entry.parsed.usable("namespace") and mine == (other.namespace or f"{name}-training"):
            yield _finding(entry, "namespace", mine, name)
        for field in _IDS:
            value = getattr(other, field)
            if entry.parsed.usable(field) and getattr(entry.value, field) == value:
                yield _finding(entry, field, str(value), name)


def _finding(entry: Entry[Tenant], field: str, value: str, other: str) -> Finding:
    found = f"{field} {value} is tenants/{other}/tenant.yaml's"
    return entry.parsed.document.finding((field,), ID, found, "one of its own", f"write another {field}:")
