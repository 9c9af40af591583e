"""Nothing reaches a cluster unseen: what changed outside the tenants' own folders since the last deployed commit. Pure.

A tenant can break its own experiments only. Everything else, base/ and tools/ included, must come from merge requests that a
platform admin approved; runs' overlays and audit/ from the bot's own signed commits and from nobody else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tools.bot.report.changes import is_bots, tenant_of

_MOST_NAMED = 5


@dataclass(frozen=True)
class Step:
    """One landing on main.

    changed: path -> (blob before, blob after); None where there is no file. by_bot: signed with the bot's key.
    refusal: why no platform admin's approval covers it; empty when one does. name: `!12` or the commit.
    """

    name: str
    changed: Mapping[str, tuple[str | None, str | None]]
    by_bot: bool = False
    refusal: str = ""


@dataclass
class _Path:
    before: str | None
    unapproved: list[Step] = field(default_factory=list)


def is_guarded(path: str) -> bool:
    """Whether a change of the path takes more than a tenant's own people."""
    return tenant_of(path) is None


def blocked(steps: Iterable[Step]) -> list[str]:
    """Why the branch must not move, a sentence a landing; empty when it may. steps: oldest first, from the deployed commit."""
    paths: dict[str, _Path] = {}
    for step in steps:
        for path, (old, new) in step.changed.items():
            if is_guarded(path):
                found = paths.setdefault(path, _Path(old))
                _follow(found, path, new, step)
    by_step: dict[str, tuple[Step, list[str]]] = {}
    for path, found in sorted(paths.items()):
        for step in found.unapproved:
            by_step.setdefault(step.name, (step, []))[1].append(path)
    return [_sentence(step, changed) for step, changed in by_step.values()]


def _follow(found: _Path, path: str, new: str | None, step: Step) -> None:
    if new == found.before:  # undone: nothing of what came in between is left
        found.unapproved.clear()
    elif not step.by_bot and (step.refusal or is_bots(path)):
        found.unapproved.append(step)


def _sentence(step: Step, paths: list[str]) -> str:
    named = ", ".join(paths[:_MOST_NAMED]) + (
        f" and {len(paths) - _MOST_NAMED} more" if len(paths) > _MOST_NAMED else ""
    )
    if all(is_bots(path) for path in paths):
        return f"{step.name} changed {named}, where only the bot writes: revert it by a merge request"
    remedy = (
        "revert it by a merge request, and bring it in again by one that a platform admin approves before the merge"
    )
    return f"{step.name} changed {named} outside the tenants' own folders: {step.refusal or 'not approved'}; {remedy}"
