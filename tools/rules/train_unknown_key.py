"""Each key under `train:` is one that the pinned LLaMA Factory knows.

LLaMA Factory refuses unknown keys itself, after 20 seconds on a GPU. Keys of older versions are answered with what to
write instead. The table of keys is generated from the pinned package.

Fails:

    train:
      learning_rat: 1.0e-4        # did you mean "learning_rate"?
      evaluation_strategy: steps  # write eval_strategy instead

Passes:

    train:
      learning_rate: 1.0e-4
      eval_strategy: steps
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from tools.findings import Finding, quote
from tools.llamafactory.table import arguments, renamed
from tools.rules.subject import Subject
from tools.rules.train import Refusal

ID = "train-unknown-key"
KIND = "experiment"
NEEDS = ("train",)
_ALLOWED = "keys of the pinned LLaMA Factory"
_LONGEST_TYPO = 3
# Comparing costs a millisecond a key; a file of thousands of unknown keys is no typo.
_MOST_SUGGESTIONS = 20


def judge(key: str, _value: Any) -> Refusal | None:
    """Refuse a key that the argument table lacks."""
    if key in arguments():
        return None
    old = renamed().get(key)
    return Refusal(f"unknown key {quote(key)}", _ALLOWED, old.remedy if old else None, at_key=True)


def check(subject: Subject) -> Iterator[Finding]:
    """Yield what `judge` refused, with what may have been meant."""
    for number, (key, refusal) in enumerate(subject.judged.refused.get(ID, ())):
        near = _near(key) if number < _MOST_SUGGESTIONS else None
        remedy = refusal.remedy or (f'did you mean "{near}"?' if near else "remove it")
        yield subject.parsed.document.finding(("train", key), ID, refusal.found, refusal.allowed, remedy, key=True)


def _near(key: str) -> str | None:
    """The known key most like it."""
    known = [name for name in arguments() if abs(len(name) - len(key)) <= _LONGEST_TYPO]
    return next(iter(get_close_matches(key, known, n=1, cutoff=0.75)), None)
