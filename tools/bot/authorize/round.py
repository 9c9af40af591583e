"""One round for one environment: from main as it is to what may run, and to the signed commit that says so.

Nothing is remembered that git does not say: a round starts at `deployed/<environment>`, so whatever a crash, a lost push or a
missed event left undone is found again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tools.bot.authorize import deploying, guarding, writing
from tools.bot.authorize.acting import Bot, Decisions, act, finish
from tools.bot.authorize.before import Past
from tools.bot.authorize.candidates import Holding
from tools.bot.authorize.history import Landing, landings
from tools.bot.authorize.inquiry import Inquiry
from tools.bot.authorize.judging import Decided, Judge
from tools.bot.authorize.merged import merged_since
from tools.bot.authorize.restoring import restored
from tools.bot.errors import PushLost
from tools.bot.promote import deciding, lifting
from tools.bot.promote import judging as promotions
from tools.bot.showing import confirm
from tools.errors import UsageError
from tools.repository import Repository

if TYPE_CHECKING:
    from tools.bot.mirror import Mirror

__all__ = ["Bot", "Result", "authorize"]
TRIES = 5
# GitLab marks a merge request as merged a moment after it tells of the push.
SETTLE_TRIES, SETTLE_SECONDS = 3, 2.0


@dataclass(frozen=True)
class Result:
    """What a round found.

    main: the commit up to which main is handled, None where there is no such branch. commit: the round's own on main, None
    where there was nothing to write. restored: experiments that it put back. promoted: what it decided about served models;
    recalls: why some hold although main weakened them.
    """

    environment: str
    main: str | None
    decided: tuple[Decided, ...] = ()
    obstacles: tuple[str, ...] = ()
    commit: str | None = None
    restored: tuple[str, ...] = ()
    promoted: tuple[promotions.Served, ...] = ()
    recalls: tuple[str, ...] = ()

    @property
    def refused(self) -> tuple[Decided, ...]:
        """Experiments that may not run."""
        return tuple(each for each in self.decided if each.state == "refused")


def authorize(bot: Bot, environment: str, commit: str | None = None) -> Result:
    """Handle main up to its tip; `commit`: one that is to have a verdict though it was handled before.

    Raises:
        ForgeAway, MirrorAway: try again later; nothing is half done.
        PushLost: others kept moving main.
    """
    confirm(bot.forge, bot.store)
    for _ in range(TRIES - 1):
        try:
            return _round(bot, environment, commit)
        except PushLost:
            continue
    return _round(bot, environment, commit)


def _round(bot: Bot, environment: str, commit: str | None) -> Result:
    bot.mirror.fetch()
    main, deployed = bot.mirror.tip(deploying.MAIN), bot.mirror.tip(f"deployed/{environment}")
    if main is None or deployed is None:
        return Result(environment, main, obstacles=(guarding.missing(environment),))
    finish(bot, environment, main)
    decisions = _decide(bot, environment, main, deployed, _start(bot.mirror, commit, deployed, main))
    made, obstacles = act(bot, decisions)
    restored = tuple(decisions.restored) if made is not None else ()
    recalls = tuple(why for _, why in decisions.promotions.recalls.reasons)
    served = decisions.promotions.decided
    return Result(environment, made or main, decisions.decided, obstacles, made, restored, served, recalls)


def _decide(bot: Bot, environment: str, main: str, deployed: str, start: str) -> Decisions:
    inquiry, past = Inquiry(bot.forge, bot.mirror), Past(bot.mirror)
    asked = _settled(bot, inquiry, start, main)
    since = asked if start == deployed else _settled(bot, inquiry, deployed, main)
    with tempfile.TemporaryDirectory(prefix="ft-main-") as folder:
        bot.mirror.materialise(main, Path(folder))
        recalls = lifting.kept(bot.mirror, inquiry, past, since)
        deciding.put_back(recalls, Path(folder))
        holding = Holding(Repository(Path(folder)))
        candidates = [each for each in holding.candidates(asked) if each.environment in (environment, "")]
        inquiry.expect(each.landing.merge_request for each in candidates if each.landing.merge_request is not None)
        judge = Judge(bot.mirror, bot.store, inquiry, past, holding, main)
        decided = [each for each in map(judge.judge, candidates) if each is not None]
        served = promotions.Judge(bot.mirror, inquiry, past, holding.repository, main, bot.forge.me)
        return Decisions(
            environment,
            main,
            tuple(asked),
            tuple(since),
            tuple(decided),
            tuple(guarding.of(inquiry, past, since)),
            _changes(holding.repository, decided, bot.now()),
            restored(bot.mirror, holding.repository, since),
            deciding.decide(served, recalls, environment, since, bot.now()),
        )


def _changes(repository: Repository, decided: Sequence[Decided], now: datetime) -> writing.Changes:
    changes: writing.Changes = {}
    for each in decided:
        if each.starts:
            changes |= writing.started(repository, each, now)
        elif each.stops:
            changes |= writing.stopped(repository, each, now)
    return changes


def _start(mirror: Mirror, commit: str | None, deployed: str, main: str) -> str:
    """From where on experiments are looked at: the deployed commit, or further back for one that was asked for by name."""
    if commit is None or (mirror.is_ancestor(deployed, commit) and mirror.is_ancestor(commit, main)):
        return deployed
    if not mirror.is_ancestor(commit, main):
        raise UsageError(f"--commit {commit} is not on main; give a commit of main, or leave the option out")
    parents = mirror.parents(commit)
    return parents[0] if parents else commit


def _settled(bot: Bot, inquiry: Inquiry, old: str, new: str) -> list[Landing]:
    """The landings; where one has no merge request GitLab is asked again, in case it has not caught up with its own push."""
    for _ in range(SETTLE_TRIES - 1):
        found = landings(bot.mirror, old, new, merged_since(bot.forge, bot.mirror, old), inquiry.base_of)
        if all(landing.by_bot or landing.merge_request is not None for landing in found):
            return found
        bot.sleep(SETTLE_SECONDS)
    return landings(bot.mirror, old, new, merged_since(bot.forge, bot.mirror, old), inquiry.base_of)
