"""Merge, publish and register a finished run by hand: what the PostSync Job does, for `merge: false` or after a fault.

Runs the publish Job of the overlay with that run id on this machine. Doing it twice changes nothing the second time.
"""

from __future__ import annotations

import argparse

from tools.commands.run import add_machine, start
from tools.expand import locks
from tools.repository import Repository


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `ft publish`."""
    parser.add_argument("run_id", metavar="RUN_ID", help="`run_id` of an overlay's run.yaml")
    add_machine(parser)


def run(args: argparse.Namespace) -> int:
    """Run the publish Job; 1 when it failed."""
    repository = Repository.find(args.repo)
    overlay, lock = locks.by_run_id(repository, args.run_id)
    return start(repository, overlay, lock, args, publish_only=True)
