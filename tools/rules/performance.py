"""`performance: auto` is not available yet.

It will let the platform choose batch size, packing and kernels by measuring. Until then what is written is what runs.

Fails:

    performance: auto

Passes:

    performance: as-written
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding
from tools.rules.subject import Subject

ID = "performance"
KIND = "experiment"
NEEDS = ("performance",)


def check(subject: Subject) -> Iterator[Finding]:
    """Refuse auto."""
    if subject.experiment.performance == "auto":
        remedy = "write performance: as-written"
        yield subject.parsed.document.finding(
            ("performance",), ID, "performance: auto is not available yet", "as-written", remedy
        )
