"""Predictions into numbers: each metric of one model, and the paired difference of two models, with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from runner.evaluate.intervals import bootstrap, mcnemar, wilson
from runner.evaluate.metrics import exact_match, rouge_l
from runner.evaluate.predictions import Prediction
from tools.formats.evaluation import Comparison, Score
from tools.formats.experiment import Metric

LESS_IS_BETTER = frozenset({"perplexity"})
# Mean surprise in nats whose exponential still is a number.
_MOST_NATS = 700.0
# LLaMA Factory's own similarity measures (llamafactory/train/sft/metric.py), by their names there.
SIMILARITY: dict[str, str] = {"llamafactory_rouge_l": "rouge-l", "llamafactory_bleu_4": "bleu-4"}

Values = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """One metric of one model, row by row.

    values: shares, 0 to 1; for perplexity the surprise in nats. weights: tokens of each row for perplexity, else 1.
    """

    metric: Metric
    values: Values
    weights: Values

    def over(self, rows: Sequence[int]) -> float:
        """The metric of some rows: their weighted mean, or its exponential for perplexity."""
        mean = sum(self.values[row] for row in rows) / sum(self.weights[row] for row in rows)
        return math.exp(min(mean, _MOST_NATS)) if self.metric == "perplexity" else mean

    @property
    def score(self) -> Score:
        """Over all rows."""
        if self.metric == "exact_match":
            return wilson(round(sum(self.values)), len(self.values))
        return bootstrap(len(self.values), self.over)


def measured(metric: Metric, predictions: Sequence[Prediction], expected: Sequence[str]) -> Measured:
    """A metric of one model's predictions, which are those of all rows in their order."""
    answers = [each.answer or "" for each in predictions]
    ones = (1.0,) * len(answers)
    pairs = list(zip(answers, expected, strict=True))
    if metric == "perplexity":
        return Measured(
            metric, tuple(each.surprise for each in predictions), tuple(float(each.tokens) for each in predictions)
        )
    if metric == "exact_match":
        return Measured(metric, tuple(float(exact_match(*pair)) for pair in pairs), ones)
    if metric == "rouge_l":
        return Measured(metric, tuple(rouge_l(*pair) for pair in pairs), ones)
    return Measured(metric, _similarity(metric, answers, expected), ones)


def comparison(candidate: Measured, other: Measured, against: Literal["base", "champion"]) -> Comparison | None:
    """The candidate against another model; None where both count other tokens, so that perplexities say nothing."""
    if candidate.weights != other.weights:
        return None
    difference: Callable[[Sequence[int]], float] = lambda rows: candidate.over(rows) - other.over(rows)  # noqa: E731
    score = bootstrap(len(candidate.values), difference)
    p_value = None
    if candidate.metric == "exact_match":
        pairs = list(zip(candidate.values, other.values, strict=True))
        p_value = mcnemar(sum(mine > its for mine, its in pairs), sum(mine < its for mine, its in pairs))
    return Comparison(
        against=against, metric=candidate.metric, difference=score, p_value=p_value, verdict=_verdict(score, candidate)
    )


def _verdict(difference: Score, candidate: Measured) -> Literal["better", "worse", "undecided"]:
    if difference.low <= 0 <= difference.high:
        return "undecided"
    more = difference.low > 0
    return "worse" if more == (candidate.metric in LESS_IS_BETTER) else "better"


def _similarity(metric: str, answers: Sequence[str], expected: Sequence[str]) -> Values:
    """LLaMA Factory's measure of each pair, as its predict computes it, 0 to 1."""
    import numpy as np
    from llamafactory.train.sft.metric import ComputeSimilarity
    from transformers import EvalPrediction

    measure = ComputeSimilarity(_Texts(answers, expected))
    nothing = np.zeros((len(answers), 1), dtype=int)
    measure(EvalPrediction(predictions=nothing, label_ids=nothing), compute_result=False)
    return tuple(value / 100 for value in measure.score_dict[SIMILARITY[metric]])


class _Texts:
    """Stands where the measure decodes tokens: the texts are there already, predictions first, then labels."""

    pad_token_id = 0

    def __init__(self, *texts: Sequence[str]) -> None:
        self._texts = iter(texts)

    def batch_decode(self, _tokens: Any, **_options: Any) -> list[str]:
        """The next texts."""
        return list(next(self._texts))
