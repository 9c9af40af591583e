"""When is a loss no longer one that training comes back from? The policy and its reasons are ADR 038.

A loss that is no number ends the run at once. An exploded one is five logged losses in a row above

    max(2, min(3 * e, 1.25 * max(ln V, f)))      pre-training and supervised training: cross-entropy, in nats
    max(2, 3 * e)                                rm, dpo, kto: losses of other scales

with e the largest of the first five logged losses, f the first and V the size of the vocabulary; ln V is what guessing every
token with the same probability costs (Shannon 1948: the entropy of a uniform choice).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

EARLY = 5
IN_A_ROW = 5
TIMES_EARLY = 3.0
TIMES_GUESSING = 1.25
FLOOR = 2.0
CROSS_ENTROPY = ("pt", "sft")


def losses(history: Iterable[Mapping[str, Any]]) -> Iterator[float]:
    """The training losses in the trainer's log, in its order."""
    return (float(entry["loss"]) for entry in history if "loss" in entry)


def limit(history: Sequence[Mapping[str, Any]], stage: str, vocabulary: int | None) -> float | None:
    """The largest loss that is not suspicious; None before five losses are logged."""
    early = list(islice(losses(history), EARLY))
    if len(early) < EARLY:
        return None
    most = TIMES_EARLY * max(early)
    if stage in CROSS_ENTROPY and vocabulary:
        most = min(most, TIMES_GUESSING * max(math.log(vocabulary), early[0]))
    return max(FLOOR, most)


def above(history: Sequence[Mapping[str, Any]], most: float) -> int:
    """How many of the newest logged losses, up to five, are above the limit without a gap."""
    count = 0
    for loss in islice(losses(reversed(history)), IN_A_ROW):
        if loss <= most:
            break
        count += 1
    return count
