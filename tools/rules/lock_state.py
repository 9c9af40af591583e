"""`cancelled` is for good, and `attempt` only goes up.

A cancelled run is gone from the cluster, and each attempt is a Job of its own: one that ran never runs a second time.

Fails:

    state: active               # its lock says cancelled
    attempt: 1                  # its lock says 2

Passes:

    state: cancelled
    attempt: 3
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding, quote
from tools.rules.subject import Subject
from tools.yamlsource.document import Refused

ID = "lock-state"
KIND = "experiment"
NEEDS: tuple[str, ...] = ()


def check(subject: Subject) -> Iterator[Finding]:
    """Compare state and attempt with the lock's."""
    try:
        locks = subject.repository.locks.of(subject.tenant_name, subject.name)
    except Refused:
        return  # the rule `immutable` says so
    document, experiment = subject.parsed.document, subject.experiment
    for lock in locks:
        if lock.state == "cancelled" and subject.parsed.usable("state") and experiment.state == "active":
            found = f"{quote(subject.name)} was cancelled and is active again"
            yield document.finding(("state",), ID, found, "cancelled, for good", "copy it to a new file instead")
        if lock.attempt and subject.parsed.usable("attempt") and experiment.attempt < lock.attempt:
            found = f"attempt {experiment.attempt} after attempt {lock.attempt}"
            remedy = f"write attempt: {lock.attempt + 1} to run it again"
            yield document.finding(("attempt",), ID, found, f"{lock.attempt} or more", remedy)
