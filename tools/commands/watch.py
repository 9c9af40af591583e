"""Follow runs until all of them have finished, failed or been cancelled: phase, progress, time left and why they wait.

Takes what `ft status` takes. On a terminal the picture is drawn in place, elsewhere each change is a line. An API server
that goes away is waited for. ^C leaves; the runs go on. Exit code 1: a run failed.
"""

from __future__ import annotations

import argparse

from tools.commands import status
from tools.repository import Repository


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `ft watch`."""
    status.add_target(parser)


def run(args: argparse.Namespace) -> int:
    """Show looks until the runs have ended; 1 when one failed."""
    from tools.cluster import targets
    from tools.cluster.faults import ClusterFault
    from tools.cluster.look import Look, look
    from tools.cluster.screen import Screen
    from tools.cluster.watching import glances

    repository = Repository.find(args.repo)
    targets.resolve(repository, args.target, args.env)
    cluster = status.connect(args)
    if isinstance(cluster, ClusterFault):
        raise cluster

    def take() -> Look:
        # Read again each time: `git pull` beside it may bring the authorization that it waits for.
        return look(targets.resolve(Repository(repository.root), args.target, args.env), cluster, args.tracking_uri)

    last = None
    with Screen() as screen:
        for glance in glances(take):
            screen.show(glance)
            last = glance
    return last.look.exit_code if last is not None else 0
