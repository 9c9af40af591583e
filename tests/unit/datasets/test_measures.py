"""Duplicates and lengths."""

from __future__ import annotations

import random

import pytest

from tools.datasets import duplicates
from tools.datasets.lengths import Lengths


def test_duplicates_are_exact_beyond_what_is_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """With buckets of 512 bytes most rows spill to disk, and the count stays exact."""
    monkeypatch.setattr(duplicates, "_IN_MEMORY", 512)
    rng = random.Random(7)
    with duplicates.Duplicates() as seen:
        for number in [*range(20_000), *rng.sample(range(20_000), 10_000)]:
            seen.take(number)
        assert seen.count() == 10_000


def test_percentiles_are_lengths_that_occur() -> None:
    """Nearest rank: of 1 to 100 the 90th percentile is 90; histogram bounds are powers of two."""
    lengths = Lengths()
    lengths.add(range(1, 101))
    found = lengths.summary("m")
    assert (found.p50, found.p90, found.p99, found.max, found.mean, found.total) == (50, 90, 99, 100, 50.5, 5050)
    assert found.histogram == {"1": 1, "2": 1, "4": 2, "8": 4, "16": 8, "32": 16, "64": 32, "128": 36}


def test_one_row_is_every_percentile() -> None:
    """A single length is median and maximum at once."""
    lengths = Lengths()
    lengths.add([64])
    found = lengths.summary("m")
    assert (found.p50, found.p99, found.max, found.histogram) == (64, 64, 64, {"64": 1})
