"""`ft bot authorize`: one round for each environment, told to whoever started it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from tools.bot.authorize.judging import Decided
from tools.bot.authorize.restoring import reason
from tools.bot.authorize.round import Bot, Result, authorize
from tools.bot.promote.judging import Served
from tools.bot.upkeep.argocd import ArgoAway, ArgoCD, ArgoRefused
from tools.errors import UsageError

if TYPE_CHECKING:
    from tools.bot.settings import BotSettings


def run(arguments: argparse.Namespace, settings: BotSettings) -> int:
    """Authorize what main holds; 1 when something was refused or stands in the way of a branch.

    Raises:
        UsageError: an environment that the bot does not serve, or a commit that main does not have.
    """
    wanted: str | None = arguments.environment
    if wanted is not None and wanted not in settings.environments:
        allowed = ", ".join(settings.environments)
        raise UsageError(f"--environment {wanted}; allowed: {allowed}; add it to `environments` of the bot's settings")
    results = [
        authorize(open_bot(settings, environment), environment, arguments.commit)
        for environment in ([wanted] if wanted else settings.environments)
    ]
    for line in (line for result in results for line in lines(result)):
        print(line)
    return int(any(_objects(result) for result in results))


def open_bot(settings: BotSettings, environment: str) -> Bot:
    """What a round of one environment works with. One for each thread."""
    forge = settings.open_forge()
    return Bot(forge, settings.open_mirror(forge), settings.open_store(), terminate=_terminate(settings, environment))


def lines(result: Result) -> Iterator[str]:
    """What a round found and did, a line each."""
    nothing = not result.decided and not result.promoted and not result.obstacles and result.commit is None
    if nothing:
        yield f"{result.environment}: nothing to authorize"
    for obstacle in result.obstacles:
        yield f"{result.environment}: deployed/{result.environment} does not move: {obstacle}"
    for decided in result.decided:
        yield from _about(result, decided)
    for path in result.restored:
        yield f"{result.environment}: {reason(path)}"
    for served in result.promoted:
        yield from _served(result, served)
    for why in result.recalls:
        yield f"{result.environment}: {why}"
    if result.commit is not None:
        yield f"{result.environment}: main and deployed/{result.environment} are at {result.commit}"


def _objects(result: Result) -> bool:
    """Whether a person has to look."""
    refused = [each for each in result.promoted if each.state == "refused"]
    return bool(result.obstacles or result.refused or result.restored or refused or result.recalls)


def _served(result: Result, served: Served) -> Sequence[str]:
    head = f"{result.environment}: {served.file}"
    if served.state == "refused":
        return [f"{head}: refused: {reason}" for reason in served.verdict.reasons]
    run = f" ({served.served.run_id})" if served.served is not None else ""
    return [f"{head}: {served.state if result.commit is not None else 'waits'}{run}, {served.landing.name}"]


def _about(result: Result, decided: Decided) -> Sequence[str]:
    lock = decided.candidate.lock
    head = f"{result.environment}: {decided.candidate.file}"
    if decided.state == "refused":
        return [f"{head}: refused: {reason}" for reason in decided.verdict.reasons]
    waits = result.commit is None and (decided.starts or decided.stops)
    attempt = f" ({lock.run_id}, attempt {decided.candidate.run.attempt})" if lock else ""
    return [f"{head}: {'waits' if waits else decided.state}{attempt}, {decided.candidate.landing.name}"]


def _terminate(settings: BotSettings, environment: str) -> Callable[[str, str], None]:
    """Ends the running operation of a cancelled run, which would hold up its removal."""

    def terminate(tenant: str, name: str) -> None:
        argocd = settings.argocd.get(environment)
        token = argocd.tokens.get(tenant) if argocd else None
        if argocd is None or token is None:
            return
        try:
            ArgoCD(argocd.url, f"finetuning-{tenant}", token).terminate(f"{tenant}.{name}")
        except (ArgoAway, ArgoRefused) as error:
            # The overlay is gone already; `ft bot reconcile` asks again for as long as the run goes on.
            print(f"{environment}: {tenant}/{name} is cancelled, its operation may go on: {error}", file=sys.stderr)

    return terminate
