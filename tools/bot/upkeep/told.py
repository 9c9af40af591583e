"""What MLflow tells of an attempt that is over: memory, utilisation, tokens and the pace of its steps.

It is the tenant's own word, for its credential can write there. So each number is bounded by what is possible, training hours
by the hours that Kubernetes saw the pods run besides; what lies outside is left out, and none of it counts against quota or cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tools.cluster.tracking import Point, Tracking
from tools.formats.audit import MOST_TOKENS
from tools.plan.hours import HOUR
from tools.plan.memory import GIB

# runner/callback.py and runner/progress.py; the two of the GPU are missing without one.
_GPU_MEMORY, _MEMORY = "progress/gpu_memory_gib", "progress/memory_gib"
_BUSY, _TOKENS = "progress/gpu_utilisation_percent", "progress/tokens"
_PACE, _DONE = "progress/seconds_per_step", "progress/percent"
_MOST_GIB = 1 << 14  # no GPU and no node has more
_WHOLE = 100.0  # percent
_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Told:
    """As `Measured` has it; None where nothing possible was logged."""

    peak_memory_bytes: int | None = None
    idle_share: float | None = None
    tokens: int | None = None
    training_hours: float | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """An attempt to ask about.

    since: seconds since 1970 of its authorization; what is older is an earlier attempt's. most_hours: that its pods, and those of
    earlier attempts, can have trained; None where Kubernetes does not say.
    """

    mlflow_run: str
    gpus: int
    since: float
    most_hours: float | None
    finished: bool


def told(server: Tracking, asked: Asked) -> Told:
    """Everything about one attempt.

    Raises:
        Away: MLflow does not answer.
    """

    def points(metric: str) -> list[Point]:
        return server.points(asked.mlflow_run, metric)

    busy = [point for point in points(_BUSY) if point.seconds >= asked.since] if asked.gpus else []
    return Told(
        peak_memory_bytes=_peak(points(_GPU_MEMORY if asked.gpus else _MEMORY)),
        idle_share=_idle(busy),
        tokens=_tokens(points(_TOKENS)),
        training_hours=_hours(points(_PACE), points(_DONE) if asked.finished else [], asked.most_hours),
    )


def _peak(points: Sequence[Point]) -> int | None:
    values = _within(points, _MOST_GIB)
    return round(max(values) * GIB) if values else None


def _idle(points: Sequence[Point]) -> float | None:
    """The reports come at regular steps, and each tells of the second before it: their mean stands for the training."""
    values = _within(points, _WHOLE)
    return round(1 - sum(values) / len(values) / _WHOLE, _DIGITS) if values else None


def _tokens(points: Sequence[Point]) -> int | None:
    values = _within(points, MOST_TOKENS)
    return round(max(values)) if values else None


def _hours(pace: Sequence[Point], done: Sequence[Point], most: float | None) -> float | None:
    """The mean time of a step (runner/pace.py) times the steps; of a finished run those after its last report as well."""
    last = max(pace, key=lambda point: point.step, default=None)
    if last is None or most is None or last.value <= 0 or last.step <= 0:
        return None
    steps = float(last.step)
    told_last = max(done, key=lambda point: point.step, default=None)
    if told_last is not None and told_last.step == last.step and 0 < told_last.value <= _WHOLE:
        steps = last.step * _WHOLE / told_last.value
    hours = last.value * steps / HOUR
    return round(hours, _DIGITS) if hours <= most else None


def _within(points: Sequence[Point], most: float) -> list[float]:
    return [point.value for point in points if 0 <= point.value <= most]
