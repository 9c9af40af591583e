"""Predictions against measurements, run by run and for each model and GPU beside the goals."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tools.findings import Finding
from tools.formats.audit import Audit
from tools.ledger.entries import Chosen, records
from tools.predict.pairs import on_device
from tools.repository import Repository


class Goal(NamedTuple):
    """Relative errors that a prediction is to stay within."""

    memory: float
    hours: float


SEEN, UNSEEN = Goal(0.10, 0.15), Goal(0.20, 0.40)
_HIGH = 0.9


@dataclass(frozen=True, slots=True)
class Compared:
    """One number: bytes of a GPU's peak, or hours of training. None where it was not predicted, or not measured."""

    predicted: float | None
    measured: float | None

    @property
    def error(self) -> float | None:
        """Relative; more than 0: too much was predicted."""
        if not self.predicted or not self.measured:
            return None
        return self.predicted / self.measured - 1


@dataclass(frozen=True, slots=True)
class Review:
    """One run. seen: finished runs of the same model and GPU that the prediction knew."""

    environment: str
    tenant: str
    run_id: str
    model: str
    gpu: str
    method: str
    seen: int
    memory: Compared
    hours: Compared


@dataclass(frozen=True, slots=True)
class Errors:
    """Absolute errors of one kind of number: median, 90 % quantile, and how many of `count` reached the goal."""

    count: int
    median: float | None
    high: float | None
    within: int


@dataclass(frozen=True, slots=True)
class Group:
    """The runs of a model on a GPU, those predicted with and without earlier ones apart."""

    model: str
    gpu: str
    seen: bool
    goal: Goal
    memory: Errors
    hours: Errors


def reviews(repository: Repository, chosen: Chosen) -> Iterator[Review | Finding]:
    """The finished runs that were predicted, in the order of their files; a finding for each broken record."""
    for record in records(repository, chosen):
        if isinstance(record, Finding):
            yield record
        elif (found := _review(record, chosen.month)) is not None:
            yield found


def groups(found: Sequence[Review]) -> list[Group]:
    """By model, GPU and whether there were earlier runs."""
    keys = sorted({(review.model, review.gpu, review.seen > 0) for review in found})
    return [_group(*key, [each for each in found if (each.model, each.gpu, each.seen > 0) == key]) for key in keys]


def _review(record: Audit, month: str | None) -> Review | None:
    said, kind = record.estimated.predicted, record.trained
    finished = [entry for entry in record.attempts if entry.outcome is not None and entry.outcome.result == "finished"]
    if said is None or kind is None or kind.gpu is None or not finished:
        return None
    if month not in {None, finished[-1].authorized.at[:7]}:
        return None
    outcome = finished[-1].outcome
    measured = outcome.measured if outcome is not None else None
    peak = measured.peak_memory_bytes if measured is not None else None
    hours = measured.training_hours if measured is not None else None
    return Review(
        environment=record.environment,
        tenant=record.tenant,
        run_id=record.run_id,
        model=kind.model,
        gpu=kind.gpu,
        method=kind.method,
        seen=said.seen,
        memory=Compared(said.peak_bytes, on_device(peak) if peak else None),
        hours=Compared(said.hours, hours),
    )


def _group(model: str, gpu: str, seen: bool, found: Sequence[Review]) -> Group:
    goal = SEEN if seen else UNSEEN
    memory = _errors([each.memory.error for each in found], goal.memory)
    return Group(model, gpu, seen, goal, memory, _errors([each.hours.error for each in found], goal.hours))


def _errors(found: Sequence[float | None], goal: float) -> Errors:
    known = sorted(abs(error) for error in found if error is not None)
    if not known:
        return Errors(0, None, None, 0)
    within = sum(error <= goal for error in known)
    return Errors(len(known), _quantile(known, 0.5), _quantile(known, _HIGH), within)


def _quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share does not exceed."""
    return values[math.ceil(share * len(values)) - 1]
