"""An evaluation takes at most 8 hours.

It runs in the PostSync Job, which holds the Application's operation open: until it is over, Argo CD applies nothing else to it. On
a GPU the hours count against the tenant's GPU-hours.

Fails:

    evaluation: {datasets: [held-out-pl], time_limit: 1d}

Passes:

    evaluation: {datasets: [held-out-pl], time_limit: 2h}
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding
from tools.formats.base import seconds
from tools.rules.evaluation import section
from tools.rules.subject import Subject

ID = "evaluation-time"
KIND = "experiment"
NEEDS = ("evaluation",)
MOST = "8h"


def check(subject: Subject) -> Iterator[Finding]:
    """Compare with the limit."""
    found = section(subject)
    if found is not None and seconds(found.time_limit) > seconds(MOST):
        remedy = "lower it, or score fewer rows (max_rows) with shorter answers (max_new_tokens)"
        place = ("evaluation", "time_limit")
        yield subject.parsed.document.finding(place, ID, f"time limit {found.time_limit}", f"at most {MOST}", remedy)
