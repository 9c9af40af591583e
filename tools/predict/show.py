"""The review of predictions as text, Markdown, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tools.findings import Finding
from tools.models.listing import table
from tools.plan import words
from tools.predict.review import Compared, Errors, Group, Review

_NOTHING = "-"
_RUNS = ("run", "environment", "tenant", "model", "gpu", "method", "seen", "memory", "measured", "error")
_GROUPS = ("model", "gpu", "predicted with", "memory: runs", "median", "90 %", "within goal")
_TIME = ("hours", "measured", "error")


def show(found: Sequence[Review], groups: Sequence[Group], broken: Sequence[Finding], form: str) -> str:
    """Every run, then each model and GPU; CSV holds the runs alone, JSON what is broken as well."""
    if form == "json":
        faults = [{"file": each.file, "line": each.line, "message": each.message} for each in broken]
        data = {"runs": [*map(_run, found)], "groups": [*map(_group, groups)], "broken": faults}
        return json.dumps(data, indent=2, allow_nan=False) + "\n"
    if form == "csv":
        target = io.StringIO()
        writer = csv.writer(target, lineterminator="\n")
        writer.writerow(_KEYS)
        writer.writerows(_run(review).values() for review in found)
        return target.getvalue()
    rows = [tuple(_cells(review)) for review in found]
    summary = [tuple(_summary(group)) for group in groups]
    second = table((*_GROUPS, "time: runs", *_GROUPS[4:]), summary, form)
    return f"{table((*_RUNS, *_TIME), rows, form)}\n{second}"


_KEYS = (
    "environment", "tenant", "run_id", "model", "gpu", "method", "seen", "memory_predicted_bytes", "memory_measured_bytes",
    "memory_error", "hours_predicted", "hours_measured", "hours_error",
)  # fmt: skip


def _run(review: Review) -> dict[str, Any]:
    """One run as plain data with stable keys; errors are relative, null is not known."""
    memory, hours = review.memory, review.hours
    names = (review.environment, review.tenant, review.run_id, review.model, review.gpu, review.method, review.seen)
    numbers = (memory.predicted, memory.measured, memory.error, hours.predicted, hours.measured, hours.error)
    return dict(zip(_KEYS, (*names, *numbers), strict=True))


def _group(group: Group) -> dict[str, Any]:
    def errors(found: Errors, goal: float) -> dict[str, Any]:
        numbers = {"runs": found.count, "median_error": found.median, "p90_error": found.high}
        return {**numbers, "goal": goal, "within_goal": found.within}

    return {
        "model": group.model,
        "gpu": group.gpu,
        "seen": group.seen,
        "memory": errors(group.memory, group.goal.memory),
        "hours": errors(group.hours, group.goal.hours),
    }


def _cells(review: Review) -> Iterator[str]:
    yield from (review.run_id, review.environment, review.tenant, review.model, review.gpu, review.method)
    yield str(review.seen)
    yield from _compared(review.memory, words.size)
    yield from _compared(review.hours, words.hours)


def _compared(found: Compared, form: Callable[[float], str]) -> Iterator[str]:
    yield form(found.predicted) if found.predicted is not None else _NOTHING
    yield form(found.measured) if found.measured is not None else _NOTHING
    yield f"{found.error:+.0%}" if found.error is not None else _NOTHING


def _summary(group: Group) -> Iterator[str]:
    yield from (group.model, group.gpu, "earlier runs" if group.seen else "none seen")
    yield from _errors(group.memory, group.goal.memory)
    yield from _errors(group.hours, group.goal.hours)


def _errors(found: Errors, goal: float) -> Iterator[str]:
    yield str(found.count)
    yield _NOTHING if found.median is None else f"{found.median:.0%}"
    yield _NOTHING if found.high is None else f"{found.high:.0%}"
    yield f"{found.within} of {found.count} ({goal:.0%})"
