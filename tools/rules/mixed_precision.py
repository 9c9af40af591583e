"""At most one of `fp16`, `bf16` and `pure_bf16` is true; the same for the two of evaluation.

Transformers refuses two at once after the model has been loaded. Without any, the platform trains in bf16.

Fails:

    train: {fp16: true, bf16: true}

Passes:

    train: {bf16: true}
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding
from tools.rules.subject import Subject
from tools.rules.train import later

ID = "mixed-precision"
KIND = "experiment"
NEEDS = ("train",)
# Source: transformers/training_args.py, _validate_args.
_GROUPS = (("fp16", "bf16", "pure_bf16"), ("fp16_full_eval", "bf16_full_eval"))


def check(subject: Subject) -> Iterator[Finding]:
    """Report each one after the first."""
    for group in _GROUPS:
        first, *others = later(subject, *(key for key in group if subject.train.get(key) is True)) or [""]
        for key in others:
            found = f"{key} and {first} are both true"
            allowed = f"one of {', '.join(group)}"
            yield subject.parsed.document.finding(("train", key), ID, found, allowed, "remove one")
