"""What a plan shows of its peak memory and training time: the formulas' answer, and the one that past runs correct.

A corrected memory never makes a run fit: the plan's verdict takes the larger of the two, as who measures may also lie.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tools.plan.hours import Duration
from tools.predict.correction import Correction, Sample, correction
from tools.predict.pairs import Kind, Pair


@dataclass(frozen=True, slots=True)
class Prediction:
    """Of one run on GPUs.

    formula_peak: bytes; formula_hours: the geometric middle of the formulas' range, whose ends are factors apart.
    memory, hours: what they are to be multiplied with. seen: earlier finished runs of the same model and GPU.
    """

    formula_peak: float
    formula_hours: float | None
    memory: Correction
    time: Correction
    seen: int

    @property
    def peak(self) -> float:
        """Bytes to expect."""
        return self.formula_peak * self.memory.factor

    @property
    def hours(self) -> float | None:
        """Hours of training to expect."""
        return None if self.formula_hours is None else self.formula_hours * self.time.factor


def predict(pairs: Sequence[Pair], kind: Kind, formula_peak: float, duration: Duration) -> Prediction:
    """pairs: of all runs, newest first."""
    return Prediction(
        formula_peak=formula_peak,
        formula_hours=middle(duration),
        memory=correction(_samples((pair, pair.memory) for pair in pairs), kind),
        time=correction(_samples((pair, pair.hours) for pair in pairs), kind),
        seen=sum((pair.kind.gpu, pair.kind.model) == (kind.gpu, kind.model) for pair in pairs),
    )


def middle(duration: Duration) -> float | None:
    """The geometric mean of the range; None without a GPU, or where there is nothing to do."""
    if duration.low is None or duration.high is None or duration.low <= 0:
        return None
    return math.sqrt(duration.low * duration.high)


def _samples(values: Iterable[tuple[Pair, float | None]]) -> list[Sample]:
    return [Sample(pair.kind, pair.tenant, log) for pair, log in values if log is not None]
