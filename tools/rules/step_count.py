"""Steps above 1 are whole numbers; below 1 they are a share of the training.

Transformers reads `eval_steps: 0.1` as every tenth of the training and refuses 10.5.

Fails:

    train: {logging_steps: 2.5}

Passes:

    train: {logging_steps: 0.05}
    train: {logging_steps: 10}
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding
from tools.rules.subject import Subject

ID = "step-count"
KIND = "experiment"
NEEDS = ("train",)
# Source: transformers/training_args.py, _validate_args.
_KEYS = ("logging_steps", "eval_steps", "save_steps")


def check(subject: Subject) -> Iterator[Finding]:
    """Look for fractions above 1."""
    for key in _KEYS:
        value = subject.train.get(key)
        if isinstance(value, float) and value > 1 and not value.is_integer():
            allowed = "a whole number, or a share below 1"
            yield subject.parsed.document.finding(("train", key), ID, f"{key} is {value}", allowed, "round it")
