"""What follows from a round's decisions: the commit, what the store is to know of it, and what Argo CD is to be told.

The push alone makes a run. The store is told before, with an intent, and after: whoever dies in between has the next round
finish for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tools.bot.authorize import deploying, verdicts
from tools.bot.authorize.history import Landing
from tools.bot.authorize.judging import Decided
from tools.bot.authorize.writing import Changes
from tools.bot.promote.deciding import Promotions
from tools.bot.promote.telling import Told, tell

if TYPE_CHECKING:
    from tools.bot.forge import Forge
    from tools.bot.mirror import Mirror
    from tools.bot.store import Store


@dataclass(frozen=True)
class Bot:
    """What a round works with; `terminate` ends a cancelled run's operation (tenant, name)."""

    forge: Forge
    mirror: Mirror
    store: Store
    terminate: Callable[[str, str], None] = lambda _tenant, _name: None
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


@dataclass(frozen=True)
class Decisions:
    """All that a round found out before it does anything.

    asked: landings that are to have a verdict. since: those since the deployed commit. changes: of overlays and records;
    restored: experiments that are put back. promotions: what was found about serving/ and recalls/.
    """

    environment: str
    main: str
    asked: tuple[Landing, ...]
    since: tuple[Landing, ...]
    decided: tuple[Decided, ...]
    obstacles: tuple[str, ...]
    changes: Changes
    restored: Changes
    promotions: Promotions = field(default_factory=Promotions)

    def verdicts(self, obstacles: tuple[str, ...]) -> dict[str, verdicts.Row]:
        """Commit of main -> its verdict."""
        return {
            each.commit: verdicts.of_landing(each, self.decided, list(self.restored), self.environment, obstacles)
            for each in self.asked
        }

    @property
    def worth_a_commit(self) -> bool:
        """Whether the environment's Argo CD is to see something new."""
        read = ("base/", f"overlays/{self.environment}/")
        deployed = any(path.startswith(read) for landing in self.since for path in landing.changed)
        return bool(self.changes or self.restored or self.promotions.changes or deployed)


def act(bot: Bot, decisions: Decisions) -> tuple[str | None, tuple[str, ...]]:
    """Push what was decided, or keep why not; the commit, and what stands in its way.

    Raises:
        PushLost: main moved meanwhile; nothing was done.
    """
    made, obstacles = None, decisions.obstacles
    intent = _intent(decisions)
    if not obstacles and decisions.worth_a_commit:
        try:
            made = _push(bot, decisions, intent)
        except deploying.CheckFailed as error:
            obstacles = (str(error),)
    if made is not None:
        _fulfil(bot, decisions.environment, made, intent)
    else:
        for commit, verdict in decisions.verdicts(obstacles).items():
            bot.store.save_verdict(commit, decisions.environment, verdict)
    return made, obstacles


def finish(bot: Bot, environment: str, main: str) -> None:
    """Take up what an earlier round was about to push: it is on main, or main has moved on without it."""
    for commit, intent in bot.store.intents(environment):
        if bot.mirror.is_ancestor(commit, main):
            _fulfil(bot, environment, commit, intent)
        elif intent["base"] != main:  # while it is, another bot may be pushing it at this moment
            bot.store.drop_intent(environment, commit)


def _intent(decisions: Decisions) -> dict[str, Any]:
    stopped = [[each.candidate.run.tenant, each.candidate.run.name] for each in decisions.decided if each.stops]
    told = [asdict(each) for each in decisions.promotions.told]
    return {"base": decisions.main, "stopped": stopped, "verdicts": decisions.verdicts(()), "told": told}


def _push(bot: Bot, decisions: Decisions, intent: dict[str, Any]) -> str:
    requests = [landing.merge_request.iid for landing in decisions.since if landing.merge_request is not None]
    requests += [
        each.conduct.merge_request.iid
        for each in decisions.decided
        if each.conduct is not None and (each.starts or each.stops)
    ]
    requests += decisions.promotions.merge_requests
    subject = verdicts.subject(
        decisions.environment, decisions.decided, list(decisions.restored), decisions.main, decisions.promotions.files
    )
    return deploying.commit(
        bot.mirror,
        decisions.environment,
        decisions.main,
        {**decisions.restored, **decisions.changes, **decisions.promotions.changes},
        deploying.message(subject, requests),
        deploy=True,
        before_push=lambda commit: bot.store.save_intent(decisions.environment, commit, intent),
    )


def _fulfil(bot: Bot, environment: str, commit: str, intent: dict[str, Any]) -> None:
    """What follows from a pushed commit; done again after a crash, it changes nothing."""
    for tenant, name in intent["stopped"]:
        bot.terminate(tenant, name)
    for landed, verdict in intent["verdicts"].items():
        bot.store.save_verdict(landed, environment, verdict)
    bot.store.save_verdict(commit, environment, {"state": "decided", "runs": [], "reasons": []})
    tell(bot.forge, (Told(**each) for each in intent.get("told", ())))
    bot.store.drop_intent(environment, commit)
