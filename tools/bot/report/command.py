"""`ft bot report`: the comments of merge requests, brought up to date now."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import partial

from tools.bot.errors import ForgeAway, ForgeMissing, HeadMissing, MirrorAway
from tools.bot.report.following import OVER, Connect
from tools.bot.report.service import MAIN, Reporter, Written
from tools.bot.settings import BotSettings
from tools.bot.showing import confirm
from tools.cluster.client import Cluster
from tools.cluster.faults import ClusterFault
from tools.errors import FtError, UsageError

# A merge whose webhook was lost is found this long.
_MISSED = timedelta(days=2)


def run(arguments: argparse.Namespace, settings: BotSettings) -> int:
    """Report the merge requests that are named; without a name all open ones and those whose runs are not over.

    With `follow` only the latter. One that fails does not keep the others from being reported; the first fault is raised
    in the end.

    Raises:
        ForgeAway, MirrorAway: no answer; the same call does the rest later.
    """
    forge = settings.open_forge()
    store = settings.open_store()
    reporter = Reporter(
        forge=forge,
        mirror=settings.open_mirror(forge),
        store=store,
        folder=settings.work / "locks",
        environments=settings.environments,
        connect=connecting(settings),
        tracking_uri=settings.tracking_uri,
    )
    try:
        confirm(forge, store)
        wanted, news_only = list(arguments.merge_request), False
        if not wanted:
            following, news_only = store.following(OVER), arguments.follow
            wanted = following if arguments.follow else _all(reporter, following)
        _each(wanted, partial(reporter.report, news_only=news_only))
    finally:
        store.close()
    return 0


def connecting(settings: BotSettings) -> Connect:
    """An environment's cluster by the settings, connected once, or why there is none."""
    known: dict[str, Cluster | ClusterFault] = {}

    def connect(environment: str) -> Cluster | ClusterFault:
        if environment not in known:
            try:
                known[environment] = Cluster.connect(settings.kubeconfig, settings.contexts.get(environment))
            except ClusterFault as fault:
                known[environment] = fault
            except UsageError as error:
                known[environment] = ClusterFault(str(error))
        return known[environment]

    return connect


def _all(reporter: Reporter, following: Iterable[int]) -> list[int]:
    """Open merge requests, followed ones, and those that were merged lately and had been reported."""
    opened = [request.iid for request in reporter.forge.open_merge_requests() if request.target_branch == MAIN]
    merged = reporter.forge.merged_merge_requests(datetime.now(UTC) - _MISSED)
    reported = [request.iid for request in merged if reporter.store.comment(request.iid) is not None]
    return sorted({*opened, *following, *reported})


def _each(wanted: Iterable[int], report: Callable[[int], Written]) -> None:
    faults: list[FtError] = []
    for iid in wanted:
        try:
            written = report(iid)
            print(f"!{iid}: {written.what} at {written.head_sha[:8]}")
        except (ForgeMissing, HeadMissing) as error:
            print(f"!{iid}: {error}")
            faults.append(error)
        except (ForgeAway, MirrorAway):
            raise
        except FtError as error:
            print(f"!{iid}: {error}")
            faults.append(error)
    if faults:
        raise faults[0]
