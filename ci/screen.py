"""A run in words for a job's log. Whatever comes from a run is printed as plain characters: no colour, no section, no link."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_LONGEST = 300
_MINUTE = 60
_HOUR = 3600


def printable(text: str) -> str:
    """One line without control characters, cut at 300 characters."""
    line = text[: _LONGEST + 1].expandtabs(4).rstrip()
    safe = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
    return f"{safe[: _LONGEST - 3]}..." if len(safe) > _LONGEST else safe


def line(run: Mapping[str, Any]) -> str:
    """Where a run stands, on one line."""
    return "  ".join([name(run), printable(str(run["state"])), *_details(run)])


def name(run: Mapping[str, Any]) -> str:
    """The run id, or the experiment's file where there is none."""
    return printable(str(run.get("run_id") or run.get("experiment")))


def failure(run: Mapping[str, Any]) -> Iterator[str]:
    """Why a run was refused or failed, and what to do."""
    yield f"\n{name(run)} {printable(str(run['state']))}"
    reasons = [run.get("reason"), *(run.get("reasons") or [])]
    yield from (f"  why: {printable(str(reason))}" for reason in reasons if reason)
    yield from (f"  | {printable(str(text))}" for text in run.get("log") or [])
    if run.get("remedy"):
        yield f"  next: {printable(str(run['remedy']))}"


def duration(seconds: float) -> str:
    """`3 h 5 min`, `12 min`, `40 s`."""
    whole = int(seconds)
    if whole >= _HOUR:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _MINUTE} min" if whole >= _MINUTE else f"{whole} s"


def _details(run: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(run.get("percent"), int | float):
        yield f"{run['percent']:.0f} %"
    if isinstance(run.get("step"), int) and isinstance(run.get("steps"), int):
        yield f"step {run['step']} of {run['steps']}"
    if isinstance(run.get("loss"), int | float):
        yield f"loss {run['loss']:.4f}"
    if isinstance(run.get("eta_seconds"), int | float):
        yield f"about {duration(run['eta_seconds'])} left"
    model = run.get("model")
    if isinstance(model, dict):
        yield f"{printable(str(model.get('name')))} version {printable(str(model.get('version')))}"
