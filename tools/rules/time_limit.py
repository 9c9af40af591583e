"""The time limit is within the tenant's; a longer run needs a platform admin as well (a warning).

Training stops at the limit, with a checkpoint. Long runs block GPUs for others.

Warned of:

    resources: {time_limit: 30d}        # the tenant's limit is 2d

Passes:

    resources: {time_limit: 8h}
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tools.findings import Finding
from tools.formats.base import seconds
from tools.rules.subject import Subject

ID = "time-limit"
KIND = "experiment"
NEEDS = ("resources.time_limit",)


def check(subject: Subject) -> Iterator[Finding]:
    """Compare with the tenant's limit."""
    limit = subject.experiment.resources.time_limit
    if subject.tenant is None or seconds(limit) <= seconds(subject.tenant.quota.time_limit):
        return
    found = f"time limit {limit}"
    allowed = f"at most {subject.tenant.quota.time_limit} ({subject.tenant_name}'s quota)"
    remedy = "lower it, or have a platform admin approve the merge request as well"
    finding = subject.parsed.document.finding(("resources", "time_limit"), ID, found, allowed, remedy)
    yield replace(finding, severity="warning")
