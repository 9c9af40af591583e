"""A tenant leaves an environment only after its last run there.

Without its overlay the tenant's namespace goes, and every Job in it. `ft expand --check` says the same of a tenant whose
tenant.yaml is gone.

Fails:

    environments: [prod]        # overlays/dev/team-a/exp-001 is still there

Passes:

    environments: [dev, prod]
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.expand.tenant_removal import refusal, runs_left
from tools.findings import Finding
from tools.formats.tenant import Tenant
from tools.rules.entry import Entry

ID = "tenant-runs"
KIND = "tenant"
NEEDS = ("environments",)


def check(entry: Entry[Tenant]) -> Iterator[Finding]:
    """Look for overlays of runs in environments that the tenant does not name."""
    for path in sorted((entry.repository.root / "overlays").glob(f"*/{entry.name}")):
        environment = path.parent.name
        left = runs_left(entry.repository, environment, entry.name)
        if left and environment not in entry.value.environments:
            yield entry.parsed.document.finding(("environments",), ID, refusal(environment, entry.name, left))
