"""Overlays of runs that are over leave after the environment's `keep_finished`; their records stay.

A finished run must be registered where its experiment publishes: the Application and its Jobs go with the overlay, and with them
every chance to publish what has not been. A failed one leaves after its tenant's `keep_failed`, where that says otherwise, and
not while its publication is still repeated. A next attempt of it needs no overlay, only its record; it resumes from the
checkpoints for as long as the environment gives the same lock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tools.bot.upkeep import usage
from tools.bot.upkeep.outcomes import stamp
from tools.bot.upkeep.repairs import GIVE_UP_AFTER
from tools.bot.upkeep.watching import Watched, outcome, settled
from tools.expand import audit, overlay
from tools.formats.base import seconds
from tools.formats.environment import Environment
from tools.formats.tenant import Tenant


@dataclass(frozen=True, slots=True)
class Retirement:
    """One commit: path -> content, None for what goes; the runs, and the merge requests that allowed them."""

    changes: dict[str, bytes | None]
    runs: list[str]
    merge_requests: list[int]


def due(
    runs: Sequence[Watched], environment: Environment, tenants: Mapping[str, Tenant], now: datetime
) -> list[Watched]:
    """Those whose time has come, of runs as `watching.in_git` gives them; a failed one whose tenant is not among `tenants` stays."""
    return [run for run in runs if _is_due(run, environment, tenants.get(run.lock.run.tenant), now)]


def _is_due(run: Watched, environment: Environment, tenant: Tenant | None, now: datetime) -> bool:
    ended = outcome(run)
    at = usage.moment(ended.at) if ended is not None else None
    if ended is None or at is None:
        return False
    if ended.result == "failed":
        if tenant is None:
            return False
        keep = tenant.keep_failed or environment.keep_finished
        return now - at >= max(timedelta(seconds=seconds(keep)), GIVE_UP_AFTER)
    return settled(run) and now - at >= timedelta(seconds=seconds(environment.keep_finished))


def retirement(runs: Sequence[Watched], now: datetime) -> Retirement:
    """What git is to hold once these are retired."""
    changes: dict[str, bytes | None] = {}
    for run in runs:
        changes |= {f"{run.folder}/{name}": None for name in overlay.files(run.lock)}
        record = run.record.model_copy(update={"retired_at": stamp(now)})
        changes[record.file] = audit.content(record)
    numbers = {run.record.last.authorized.merge_request for run in runs}
    return Retirement(changes, [run.lock.run_id for run in runs], sorted(numbers))
