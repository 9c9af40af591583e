"""How long the rest of a training takes, and how sure that is: from the mean and the spread of its steps' times."""

from __future__ import annotations

import math

_Z = 1.959964  # the normal distribution's 97.5 % quantile


class Pace:
    """Durations of steps, in seconds; their mean and variance are kept up to date by Welford's method (Technometrics 4, 1962)."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        self._squares = 0.0

    def add(self, seconds: float) -> None:
        """One step took that long, with whatever came between it and the one before: a checkpoint, an evaluation."""
        self.count += 1
        away = seconds - self.mean
        self.mean += away / self.count
        self._squares += away * (seconds - self.mean)

    def left(self, steps: int) -> float:
        """Seconds that `steps` more steps will take."""
        return steps * self.mean

    def error(self, steps: int) -> float | None:
        """Half the width, in seconds, of the 95 % prediction interval of `left`; None before two steps.

        t(k-1) * s * sqrt(n * (1 + n/k)) for n steps to come after k measured ones of standard deviation s: the n steps scatter
        by s * sqrt(n), and the mean that they are reckoned with is off by s / sqrt(k) each (Hahn and Meeker, Statistical
        Intervals, 1991, 4.7: the mean of n future observations). Steps are taken as independent.
        """
        if self.count < 2:  # noqa: PLR2004 - one has no spread
            return None
        spread = math.sqrt(self._squares / (self.count - 1))
        return student(self.count - 1) * spread * math.sqrt(steps * (1 + steps / self.count))


def student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t, to 2 % from 3 degrees of freedom on (Abramowitz and Stegun 26.7.5)."""
    z = _Z
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / float(freedom) ** power for power, term in enumerate(terms, 1))
