"""Confidence intervals and paired tests at 95 %, from the formulas, with the standard library alone."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from statistics import NormalDist

from tools.formats.evaluation import CONFIDENCE, Score

RESAMPLES = 2000
SEED = 20240501
_TAIL = (1 - CONFIDENCE) / 2


def wilson(hits: int, rows: int, confidence: float = CONFIDENCE) -> Score:
    """Share `hits / rows` with Wilson's score interval, which holds its level near 0 and 1 and for few rows.

    Source: Wilson 1927, Probable inference, the law of succession, and statistical inference, JASA 22; Newcombe 1998,
    Two-sided confidence intervals for the single proportion, Statistics in Medicine 17, method 3.

    Raises:
        ValueError: no rows.
    """
    if rows < 1:
        raise ValueError("no rows: a share of nothing has no interval")
    z = NormalDist().inv_cdf(1 - (1 - confidence) / 2)
    share = hits / rows
    centre = (hits + z * z / 2) / (rows + z * z)
    half = z / (rows + z * z) * math.sqrt(rows * share * (1 - share) + z * z / 4)
    # Rounding must not put a bound past 0, 1 or the share itself.
    return Score(value=share, low=min(share, max(0.0, centre - half)), high=max(share, min(1.0, centre + half)))


def bootstrap(rows: int, measure: Callable[[Sequence[int]], float]) -> Score:
    """A measure of rows with its percentile interval: the same measure of rows drawn with replacement, 2,000 times.

    measure: indices of rows (any may come several times) -> value. The seed is fixed: the same rows give the same interval.
    Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, section 13.3; for paired systems Koehn 2004, Statistical
    significance tests for machine translation evaluation.

    Raises:
        ValueError: no rows.
    """
    if rows < 1:
        raise ValueError("no rows: nothing can be drawn")
    generator = random.Random(SEED)  # noqa: S311 - reproducible on purpose
    everything = range(rows)
    drawn = sorted(measure(generator.choices(everything, k=rows)) for _ in range(RESAMPLES))
    value = measure(everything)
    return Score(value=value, low=min(value, _quantile(drawn, _TAIL)), high=max(value, _quantile(drawn, 1 - _TAIL)))


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided p-value that two models are right equally often, from the rows that only one of them has right.

    The exact (binomial) form: Fagerland, Lydersen & Laake 2013, The McNemar test for binary matched-pairs data, BMC Medical
    Research Methodology 13:91.
    """
    rows = only_first + only_second
    tail, ways = 0, 1  # ways: to choose k of the rows
    for k in range(min(only_first, only_second) + 1):
        tail += ways
        ways = ways * (rows - k) // (k + 1)
    return min(1.0, float(2 * tail / 2**rows))


def _quantile(ordered: Sequence[float], share: float) -> float:
    """By linear interpolation between neighbours: Hyndman & Fan 1996, definition 7."""
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
