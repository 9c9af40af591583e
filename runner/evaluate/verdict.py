"""Passed or failed: thresholds, base, champion and behaviours against what the experiment asks for; each reason a sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tools.formats.evaluation import Behaved, Comparison, Score
from tools.formats.experiment import Passes


def reasons(
    passes: Passes,
    by: str,
    scores: Mapping[str, Score],
    comparisons: Sequence[Comparison],
    behaviours: Sequence[Behaved],
) -> list[str]:
    """Why the candidate fails; empty when it passes.

    by: the metric that decides comparisons. scores: of the candidate. comparisons: with all that there was to compare with.
    """
    return [*_thresholds(passes, scores), *_compared(passes, by, comparisons), *_behaved(behaviours)]


def _thresholds(passes: Passes, scores: Mapping[str, Score]) -> Iterator[str]:
    for metric, least in passes.minimum.items():
        if scores[metric].value < least:
            yield f"{metric} is {scores[metric].value:.4g} (at least {least:g})"
    for metric, most in passes.maximum.items():
        if scores[metric].value > most:
            yield f"{metric} is {scores[metric].value:.4g} (at most {most:g})"


def _compared(passes: Passes, by: str, comparisons: Sequence[Comparison]) -> Iterator[str]:
    for each in comparisons:
        if each.metric != by:
            continue
        low, high = f"{each.difference.low:+.4g}", f"{each.difference.high:+.4g}"
        if each.against == "base" and passes.better_than_base and each.verdict != "better":
            yield f"{by} is not better than the base model's: the difference lies between {low} and {high}"
        if each.against == "champion" and passes.not_worse_than_champion and each.verdict == "worse":
            yield f"{by} is worse than the champion's: the difference lies between {low} and {high}"


def _behaved(behaviours: Sequence[Behaved]) -> Iterator[str]:
    for each in behaviours:
        if each.failed_cases:
            first = f": {each.failures[0]}" if each.failures else ""
            yield f"behaviour {each.name}: {each.failed_cases} of {each.cases} cases fail{first}"[:500]
