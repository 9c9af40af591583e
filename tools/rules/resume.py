"""A run that saves no complete checkpoints cannot go on after a lost node (a warning).

`save_strategy: no` saves nothing until the end; `save_only_model: true` leaves the optimiser out, so that a resumed run
trains differently.

Warned of:

    train: {save_only_model: true}

Passes:

    train: {save_steps: 100}
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tools.findings import Finding
from tools.rules.subject import Subject

ID = "resume"
KIND = "experiment"
NEEDS = ("train",)
_CANNOT_RESUME = {"save_only_model": True, "save_strategy": "no"}


def check(subject: Subject) -> Iterator[Finding]:
    """Look for options that leave nothing to go on from."""
    for key, value in _CANNOT_RESUME.items():
        if subject.train.get(key) == value:
            found = f"{key}: {str(value).lower()} leaves no checkpoint to resume from"
            finding = subject.parsed.document.finding(
                ("train", key), ID, found, None, "remove it unless the run is short"
            )
            yield replace(finding, severity="warning")
