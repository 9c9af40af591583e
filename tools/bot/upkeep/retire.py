"""Overlays of finished runs leave after the environment's `keep_finished`; their records stay.

Only what is finished and, where the experiment publishes, registered: the Application and its Jobs go with the overlay, and
with them every chance to publish what has not been. A failed run stays, as its next attempt needs the overlay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tools.bot.upkeep import usage
from tools.bot.upkeep.outcomes import stamp
from tools.bot.upkeep.watching import Watched, settled
from tools.expand import audit, overlay
from tools.formats.base import seconds
from tools.formats.environment import Environment


@dataclass(frozen=True, slots=True)
class Retirement:
    """One commit: path -> content, None for what goes; the runs, and the merge requests that allowed them."""

    changes: dict[str, bytes | None]
    runs: list[str]
    merge_requests: list[int]


def due(runs: Sequence[Watched], environment: Environment, now: datetime) -> list[Watched]:
    """Those whose time has come, of runs as `watching.in_git` gives them."""
    keep = timedelta(seconds=seconds(environment.keep_finished))
    return [run for run in runs if settled(run) and (at := _ended(run)) is not None and now - at >= keep]


def retirement(runs: Sequence[Watched], now: datetime) -> Retirement:
    """What git is to hold once these are retired."""
    changes: dict[str, bytes | None] = {}
    for run in runs:
        changes |= {f"{run.folder}/{name}": None for name in overlay.files(run.lock)}
        record = run.record.model_copy(update={"retired_at": stamp(now)})
        changes[record.file] = audit.content(record)
    numbers = {run.record.last.authorized.merge_request for run in runs}
    return Retirement(changes, [run.lock.run_id for run in runs], sorted(numbers))


def _ended(run: Watched) -> datetime | None:
    """When the attempt that the overlay runs ended."""
    outcomes = (entry.outcome for entry in run.record.attempts if entry.attempt == run.lock.attempt)
    return next((usage.moment(outcome.at) for outcome in outcomes if outcome is not None), None)
