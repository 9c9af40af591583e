"""Row lengths from a dataset's manifest: its histogram, or its percentiles where it has none, as steps of a distribution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from tools.formats.dataset import TokenLengths


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows whose lengths lie evenly between `low` (excluded) and `high` (included), in tokens."""

    low: int
    high: int
    rows: float


def distribution(tokens: TokenLengths) -> tuple[Stretch, ...]:
    """The rows by length, shortest first; the rows of the result add up to 1."""
    counted = _by_histogram(tokens) if tokens.histogram else _by_percentiles(tokens)
    total = sum(stretch.rows for stretch in counted)
    return tuple(Stretch(s.low, s.high, s.rows / total) for s in counted if s.rows)


def sample(tokens: TokenLengths, count: int) -> list[int]:
    """`count` lengths that stand for all rows: evenly spaced quantiles, longest last."""
    return list(_sample(distribution(tokens), tokens.mean, tokens.max, count))


@lru_cache(maxsize=256)
def _sample(stretches: tuple[Stretch, ...], mean: float, longest: int, count: int) -> tuple[int, ...]:
    """Kept, as a tenant's runs share few datasets and each of them is asked about."""
    lengths = [_quantile(stretches, (index + 0.5) / count) for index in range(count)]
    scale = mean * count / max(1, sum(lengths))
    return tuple(max(1, min(longest, round(length * scale))) for length in lengths)


def share_over(tokens: TokenLengths, cutoff: int) -> float:
    """The share of rows (0 to 1) that are longer than `cutoff` tokens."""
    if tokens.max <= cutoff:
        return 0.0
    return sum(stretch.rows * _part_over(stretch, cutoff) for stretch in distribution(tokens))


def _part_over(stretch: Stretch, cutoff: int) -> float:
    return min(1.0, max(0.0, (stretch.high - cutoff) / (stretch.high - stretch.low)))


def _by_histogram(tokens: TokenLengths) -> list[Stretch]:
    """Upper bounds are powers of two: a row under bound b is longer than b / 2."""
    bounds = sorted((int(bound), rows) for bound, rows in tokens.histogram.items())
    return [Stretch(min(bound // 2, tokens.max - 1), min(bound, tokens.max), rows) for bound, rows in bounds]


def _by_percentiles(tokens: TokenLengths) -> list[Stretch]:
    marks = [(0, 0.0), (tokens.p50, 0.5), (tokens.p90, 0.9), (tokens.p99, 0.99), (tokens.max, 1.0)]
    return [Stretch(min(low, high - 1), max(1, high), upto - of) for (low, of), (high, upto) in pairwise(marks)]


def _quantile(stretches: Sequence[Stretch], wanted: float) -> int:
    before = 0.0
    for stretch in stretches:
        if before + stretch.rows >= wanted:
            part = (wanted - before) / stretch.rows
            return max(1, round(stretch.low + part * (stretch.high - stretch.low)))
        before += stretch.rows
    return stretches[-1].high
