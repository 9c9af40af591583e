"""Looking again and again until all runs have ended, through outages of the API server and of MLflow.

Polling, with longer pauses while the cluster is away: a watch stream would save little for a handful of runs and would
have to be made anew after each outage all the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tools.cluster import phases
from tools.cluster.look import Look

SECONDS = 3.0
LONGEST_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Glance:
    """One look, and since when (seconds since 1970) the cluster has been away; None while it answers."""

    look: Look
    away_since: float | None


def glances(take: Callable[[], Look], *, pause: Callable[[float], None] = time.sleep) -> Iterator[Glance]:
    """Looks until every run has ended. While the cluster is away the last phases that it showed stay on."""
    away_since: float | None = None
    last: Look | None = None
    wait = SECONDS
    while True:
        now = take()
        if now.unreachable is None:
            away_since, wait, last = None, SECONDS, now
        else:
            away_since, wait = away_since or time.time(), min(wait * 2, LONGEST_SECONDS)
        yield Glance(_kept(now, last), away_since)
        if now.unreachable is None and all(status.verdict.phase in phases.DONE for status in now.statuses):
            return
        pause(wait)


def _kept(now: Look, last: Look | None) -> Look:
    """The present look; where the cluster is away, what was known before it went."""
    if now.unreachable is None or last is None:
        return now
    return Look(last.statuses, last.context, last.server, now.unreachable, now.notes)
