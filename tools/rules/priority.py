"""The priority is one that the tenant may ask for; high also needs a platform admin (a warning).

Priority decides the place in the queue. High overtakes other tenants, so their common platform admin approves it too.

Fails:

    priority: high          # not in tenants/team-a/tenant.yaml, priorities

Passes:

    priority: normal
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tools.findings import Finding
from tools.formats.people import usernames
from tools.rules.subject import Subject

ID = "priority"
KIND = "experiment"
NEEDS = ("priority",)


def check(subject: Subject) -> Iterator[Finding]:
    """Compare with the tenant's priorities."""
    tenant, priority, document = subject.tenant, subject.experiment.priority, subject.parsed.document
    if tenant is None:
        return
    if priority not in tenant.priorities:
        found = f"{subject.tenant_name} may not ask for priority {priority}"
        remedy = "choose another, or ask a platform admin"
        yield document.finding(("priority",), ID, found, ", ".join(tenant.priorities), remedy)
    elif priority == "high":
        admins = usernames(subject.repository.platform.admins) if subject.repository.platform else []
        found = "priority high needs a platform admin's approval as well"
        remedy = f"ask {' or '.join(admins) or 'one'} to approve the merge request"
        yield replace(document.finding(("priority",), ID, found, None, remedy), severity="warning")
