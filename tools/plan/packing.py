"""How many packed examples LLaMA Factory makes of a dataset's rows."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from functools import lru_cache
from math import ceil

from tools.formats.dataset import TokenLengths
from tools.plan.lengths import sample

MAX_SAMPLE = 1000


def packed_examples(rows: int, tokens: TokenLengths, *, cutoff: int, batch: int, stage: str) -> int:
    """Examples after packing, estimated from a sample of the dataset's length distribution.

    rows: rows before packing; batch: rows that LLaMA Factory packs together (`preprocessing_batch_size`).
    Source: llamafactory/data/processor/supervised.py (a greedy knapsack of rows cut to `cutoff_len`) and pretrain.py
    (texts joined end to end and cut into blocks, the rest of each batch dropped).
    """
    together = min(rows, batch)
    lengths = sample(tokens, min(together, MAX_SAMPLE))
    scale = together / len(lengths)
    examples = _blocks(lengths, cutoff, scale) if stage == "pt" else _knapsacks(tuple(lengths), cutoff) * scale
    return max(1, ceil(examples * rows / together))


def _blocks(lengths: Sequence[int], cutoff: int, scale: float) -> int:
    return int(sum(lengths) * scale // cutoff)


@lru_cache(maxsize=1024)
def _knapsacks(lengths: tuple[int, ...], capacity: int) -> int:
    """How many knapsacks `greedy_knapsack` of llamafactory/data/processor/processor_utils.py fills.

    Kept: `performance: auto` asks for one capacity at each micro-batch, and a tenant's experiments share few datasets.
    """
    left = sorted(min(length, capacity) for length in lengths)
    count = 0
    while left:
        count += 1
        free = capacity
        while index := bisect.bisect(left, free):
            free -= left.pop(index - 1)
    return count
