"""How far the formulas are off for runs of a kind, by what similar runs measured.

The correction is the median of ln(measured / by the formulas) over runs of the same GPU, then of the same method besides, then of the
same model besides; each is mixed with the coarser one by the credibility n / (n + k) of its n runs (Buehlmann 1967, Experience
Rating and Credibility). The median withstands half of its values being anything (Huber 1981, Robust Statistics, 1.4). The
error to expect is the 80 % quantile of the relative errors that arise when each run of the finest group is predicted from
the others (leave-one-out: Stone 1974, Cross-validatory choice and assessment); where too few runs of the model itself are known, from
those of other models, as the run in question will be.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from tools.predict.pairs import Kind

LEAST = 3  # runs that a group needs to say anything
MOST_FACTOR = 2.0  # a correction lies between its inverse and this
QUANTILE = 0.8
_PRIOR = 2  # k: as many runs of its own as weigh what the coarser group says
_MOST_OF_A_TENANT, _MOST = 20, 100  # newest runs of a group that count
_CLAMP = math.log(MOST_FACTOR)
_FAR = 50.0  # beyond it the exponential overflows


@dataclass(frozen=True, slots=True)
class Sample:
    """One run: its kind, its tenant and ln(measured / by the formulas)."""

    kind: Kind
    tenant: str
    log: float


@dataclass(frozen=True, slots=True)
class Correction:
    """What to multiply the formulas with.

    group: the finest one with enough runs, as the first parts of a `Kind`; empty where there is none. runs: in it.
    error: relative, to expect in four of five cases; None where nothing was learnt.
    """

    factor: float = 1.0
    group: tuple[str, ...] = ()
    runs: int = 0
    error: float | None = None


def correction(samples: Sequence[Sample], kind: Kind) -> Correction:
    """The correction for a kind of runs. samples: of all kinds, newest first."""
    groups = _groups(samples, kind)
    if not groups:
        return Correction()
    errors = sorted(_without(groups, sample) for sample in groups[-1])
    error = errors[math.ceil(QUANTILE * len(errors)) - 1]
    return Correction(math.exp(_mixed(groups)), kind[: len(groups)], len(groups[-1]), error)


def _groups(samples: Sequence[Sample], kind: Kind) -> list[list[Sample]]:
    """The runs of the same GPU, method, model, as long as there are enough; the coarsest first."""
    found: list[list[Sample]] = []
    for depth in range(1, len(kind) + 1):
        group = _newest([sample for sample in samples if sample.kind[:depth] == kind[:depth]])
        if len(group) < LEAST:
            break
        found.append(group)
    return found


def _newest(samples: Sequence[Sample]) -> list[Sample]:
    """No tenant has more than its share of the voices."""
    heard: Counter[str] = Counter()
    found = []
    for sample in samples:
        heard[sample.tenant] += 1
        if heard[sample.tenant] <= _MOST_OF_A_TENANT:
            found.append(sample)
    return found[:_MOST]


def _mixed(groups: Sequence[Sequence[Sample]]) -> float:
    """From the coarsest group to the finest; without any it is the formulas' own 0."""
    found = 0.0
    for group in groups:
        if group:
            middle = median(max(-_CLAMP, min(_CLAMP, sample.log)) for sample in group)
            found = (len(group) * middle + _PRIOR * found) / (len(group) + _PRIOR)
    return found


def _without(groups: Sequence[Sequence[Sample]], left_out: Sample) -> float:
    """The relative error of predicting one run from the others."""
    unseen = len(groups) < len(left_out.kind)

    def counts(sample: Sample) -> bool:
        return sample.kind.model != left_out.kind.model if unseen else sample is not left_out

    predicted = _mixed([[sample for sample in group if counts(sample)] for group in groups])
    return abs(math.expm1(max(-_FAR, min(_FAR, predicted - left_out.log))))
