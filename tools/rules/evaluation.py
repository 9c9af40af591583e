"""What the rules about `evaluation:` share: its datasets and behaviours, each by itself, where the section is usable."""

from __future__ import annotations

from collections.abc import Iterator

from tools.formats.experiment import Evaluation
from tools.rules.file_name import is_label
from tools.rules.subject import Subject

NEEDS = ("evaluation",)


def section(subject: Subject) -> Evaluation | None:
    """The section; None where the experiment has none."""
    return subject.experiment.evaluation


def datasets(subject: Subject) -> Iterator[tuple[int, str]]:
    """Index and name of each held-out dataset that is a DNS label."""
    found = section(subject)
    for index, name in enumerate(found.datasets if found else ()):
        if is_label(name):
            yield index, name
