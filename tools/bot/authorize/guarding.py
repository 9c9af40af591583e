"""Asks GitLab what `guard` judges: for each landing since the last deployed commit, whether a platform admin approved it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tools.bot.authorize.before import Past
from tools.bot.authorize.counting import count, satisfied
from tools.bot.authorize.guard import Step, blocked, is_guarded
from tools.bot.authorize.history import Landing, faithful, landings
from tools.bot.authorize.inquiry import Inquiry
from tools.bot.authorize.merged import merged_since

if TYPE_CHECKING:
    from tools.bot.forge import Forge
    from tools.bot.mirror import Mirror


def obstacles(forge: Forge, mirror: Mirror, environment: str, main: str) -> list[str]:
    """Why `deployed/<environment>` must not move to `main`, a sentence each; empty when it may.

    Raises:
        ForgeAway: GitLab gives no answer, now.
    """
    deployed = mirror.tip(f"deployed/{environment}")
    if deployed is None:
        return [missing(environment)]
    inquiry = Inquiry(forge, mirror)
    found = landings(mirror, deployed, main, merged_since(forge, mirror, deployed), inquiry.base_of)
    return of(inquiry, Past(mirror), found)


def of(inquiry: Inquiry, past: Past, found: Sequence[Landing]) -> list[str]:
    """The same for landings that are known."""
    guarded = [landing for landing in found if _is_guarded(landing) and landing.merge_request is not None]
    inquiry.expect(landing.merge_request for landing in guarded if landing.merge_request is not None)
    return blocked(_step(inquiry, past, landing) for landing in found)


def missing(environment: str) -> str:
    """What to do about a branch that is not there: the bot cannot know what was approved before it."""
    branch = f"deployed/{environment}"
    return f"there is no branch {branch}: an admin creates it once, from a commit of main that is right as a whole (docs/install.md)"


def _is_guarded(landing: Landing) -> bool:
    return not landing.by_bot and any(is_guarded(path) for path in landing.changed)


def _step(inquiry: Inquiry, past: Past, landing: Landing) -> Step:
    refusal = _refusal(inquiry, past, landing) if _is_guarded(landing) else ""
    return Step(landing.name, landing.changed, by_bot=landing.by_bot, refusal=refusal)


def _refusal(inquiry: Inquiry, past: Past, landing: Landing) -> str:
    """Why no platform admin's approval covers the landing; empty when one does."""
    conduct = inquiry.conduct(landing)
    if conduct is None:
        return "it came without a merge request"
    if not faithful(inquiry.mirror, landing):
        return "main holds something else than the merge request did"
    version = conduct.last_version
    if version is None or version.head_sha != conduct.merge_request.head_sha:
        return "its diff versions do not end with its head commit"
    if conduct.unknown_pushes:
        return f"it is not known who pushed to it ({conduct.unknown_pushes})"
    admins = past.admins(landing.before)
    counting = count(conduct, (), admins)
    if satisfied(counting, 0, admin=True):
        return ""
    names = ", ".join(person.username for person in admins) or "nobody"
    return "; ".join([f"no platform admin ({names}) approved it in time", *counting.ignored])
