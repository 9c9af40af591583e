"""Intervals and tests against values that others have published."""

from __future__ import annotations

from statistics import NormalDist

import pytest

from runner.evaluate.intervals import bootstrap, mcnemar, wilson


@pytest.mark.parametrize(
    ("hits", "rows", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_newcombes_table(hits: int, rows: int, low: float, high: float) -> None:
    """Newcombe 1998, table I, method 3, to its four digits."""
    found = wilson(hits, rows)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)
    assert found.value == hits / rows


def test_wilson_stays_between_0_and_1() -> None:
    """All right and all wrong: the bound on that side is the share itself, the other one mirrors."""
    everything, nothing = wilson(20, 20), wilson(0, 20)
    assert everything.high == 1.0
    assert nothing.low == 0.0
    assert everything.low == pytest.approx(1 - nothing.high)


def test_no_rows_have_no_interval() -> None:
    """A share of nothing is refused, not 0."""
    with pytest.raises(ValueError, match="no rows"):
        wilson(0, 0)
    with pytest.raises(ValueError, match="no rows"):
        bootstrap(0, len)


@pytest.mark.parametrize(
    ("first", "second", "p"), [(1, 7, 0.0703), (7, 1, 0.0703), (5, 15, 0.0414), (0, 0, 1.0), (4, 4, 1.0)]
)
def test_mcnemar_gives_published_p_values(first: int, second: int, p: float) -> None:
    """1 against 7 is the airway study of Fagerland et al. 2013 (exact p 0.070); 5 against 15 the exact binomial of 20 throws."""
    assert round(mcnemar(first, second), 4) == p


def test_mcnemar_of_many_rows_is_near_its_normal_form() -> None:
    """With thousands of rows the numbers stay exact, and agree with the chi-square form with Edwards' correction to 2 %."""
    z = (abs(2400 - 2600) - 1) / 5000**0.5
    assert mcnemar(2400, 2600) == pytest.approx(2 * (1 - NormalDist().cdf(z)), rel=0.02)


def test_bootstrap_of_a_mean_is_near_its_normal_interval() -> None:
    """For 400 values of mean 10.5 and known spread, the percentile interval is 1.96 standard errors wide on each side, within 8 %."""
    values = [float(value % 20) + 1 for value in range(400)]
    found = bootstrap(400, lambda rows: sum(values[row] for row in rows) / len(rows))
    half = 1.96 * (((20**2 - 1) / 12) ** 0.5) / 20
    assert found.value == 10.5
    assert found.high - found.value == pytest.approx(half, rel=0.08)
    assert found.value - found.low == pytest.approx(half, rel=0.08)


def test_bootstrap_comes_out_the_same_each_time() -> None:
    """Its seed is fixed: a repeated evaluation gives the same interval."""
    values = [0.1, 0.9, 0.4, 0.4, 0.7]
    first, second = (bootstrap(5, lambda rows: sum(values[row] for row in rows) / len(rows)) for _ in range(2))
    assert first == second
