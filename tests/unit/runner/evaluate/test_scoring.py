"""Predictions into scores, differences and a verdict."""

from __future__ import annotations

import math

import pytest

from runner.evaluate import verdict
from runner.evaluate.predictions import Prediction
from runner.evaluate.scoring import comparison, measured
from tools.formats.evaluation import Behaved
from tools.formats.experiment import Metric, Passes

EXPECTED = ["card", "loan", "card", "account"] * 5


def predicted(right: int, surprise: float = 1.0, tokens: int = 2) -> list[Prediction]:
    """Answers of which the first so many are right."""
    texts = [text if index < right else "?" for index, text in enumerate(EXPECTED)]
    return [Prediction(index, text, surprise, tokens) for index, text in enumerate(texts)]


def test_perplexity_is_the_exponential_of_the_mean_over_tokens() -> None:
    """Rows of one nat for two tokens each: e to the half, without spread."""
    score = measured("perplexity", predicted(0), EXPECTED).score
    assert score.value == pytest.approx(math.exp(0.5))
    assert score.low == pytest.approx(score.high)


def test_perplexity_of_an_impossible_answer_is_still_a_number() -> None:
    """Infinite surprise would be no JSON: the exponent is bounded."""
    assert math.isfinite(measured("perplexity", predicted(0, surprise=1e9), EXPECTED).score.value)


@pytest.mark.parametrize(
    ("metric", "mine", "its", "expected"),
    [
        ("exact_match", predicted(20), predicted(2), "better"),
        ("exact_match", predicted(2), predicted(20), "worse"),
        ("exact_match", predicted(10), predicted(9), "undecided"),
        ("exact_match", predicted(7), predicted(7), "undecided"),
        ("perplexity", predicted(0, surprise=0.5), predicted(0), "better"),
        ("perplexity", predicted(0, surprise=2.0), predicted(0), "worse"),
    ],
)
def test_a_difference_counts_when_its_interval_leaves_0_out(
    metric: Metric, mine: list[Prediction], its: list[Prediction], expected: str
) -> None:
    """Better or worse by the metric's own direction; one row more of twenty decides nothing."""
    found = comparison(measured(metric, mine, EXPECTED), measured(metric, its, EXPECTED), "champion")
    assert found is not None
    assert found.verdict == expected


def test_perplexities_over_other_tokens_are_not_compared() -> None:
    """A champion with another tokenizer has other tokens: no number rather than a wrong one."""
    mine, its = (measured("perplexity", predicted(0, tokens=tokens), EXPECTED) for tokens in (2, 3))
    assert comparison(mine, its, "champion") is None


def test_each_thing_missed_is_a_reason() -> None:
    """Threshold, base, champion and behaviours: a sentence each; what was switched off is none."""
    mine = measured("exact_match", predicted(2), EXPECTED)
    other = measured("exact_match", predicted(20), EXPECTED)
    compared = [found for role in ("base", "champion") if (found := comparison(mine, other, role))]  # type: ignore[arg-type]
    behaved = [Behaved(name="polite", cases=3, failed_cases=1, failures=["greets: the answer is empty"])]
    passes = Passes(minimum={"exact_match": 0.8})
    reasons = verdict.reasons(passes, "exact_match", {"exact_match": mine.score}, compared, behaved)
    assert reasons == [
        "exact_match is 0.1 (at least 0.8)",
        "exact_match is not better than the base model's: the difference lies between -1 and -0.75",
        "exact_match is worse than the champion's: the difference lies between -1 and -0.75",
        "behaviour polite: 1 of 3 cases fail: greets: the answer is empty",
    ]
    lenient = Passes(better_than_base=False, not_worse_than_champion=False)
    assert verdict.reasons(lenient, "exact_match", {"exact_match": mine.score}, compared, []) == []
