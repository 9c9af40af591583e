"""The owner is a member of the tenant.

The owner answers for the experiment: the platform reports to them, and their merge request is the one to be approved.

Fails:

    owner: somebody.else        # not in tenants/team-a/tenant.yaml, members

Passes:

    owner: anna.nowak
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding, quote
from tools.formats.people import usernames
from tools.rules.subject import Subject

ID = "owner"
KIND = "experiment"
NEEDS = ("owner",)


def check(subject: Subject) -> Iterator[Finding]:
    """Compare the owner with the tenant's members."""
    tenant, owner = subject.tenant, subject.experiment.owner
    members = usernames(tenant.members) if tenant is not None else [owner]
    if owner not in members:
        found = f"owner {quote(owner)} is no member of {subject.tenant_name}"
        remedy = f"name a member, or ask a platform admin to add one to tenants/{subject.tenant_name}/tenant.yaml"
        yield subject.parsed.document.finding(("owner",), ID, found, ", ".join(members), remedy)
