"""Run an overlay's Jobs on this machine: the manifests that kustomize renders, as a cluster would get them.

The training Job runs first, then the PostSync hook that merges, publishes and registers. Their volumes become folders
of --storage (what a tenant's claim holds in a cluster), their image becomes --runner-python, and MLflow becomes
--tracking-uri. A finished run is not trained again. ^C saves a checkpoint; the same command goes on from it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tools.expand import locks
from tools.expand.overlay import LOCK_FILE
from tools.formats.lock import Lock
from tools.repository import Repository


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `ft run`."""
    parser.add_argument("overlay", metavar="OVERLAY", type=Path, help="folder below overlays/")
    parser.add_argument("--skip-publish", action="store_true", help="train only")
    add_machine(parser)


def add_machine(parser: argparse.ArgumentParser) -> None:
    """Declare what `ft run` and `ft publish` share."""
    parser.add_argument("--storage", type=Path, metavar="DIR", help="default: .local/<environment>/<namespace>")
    parser.add_argument("--tracking-uri", metavar="URI", help="MLflow (default: a SQLite file in --storage)")
    parser.add_argument(
        "--runner-python", type=Path, metavar="FILE", help="Python with LLaMA Factory (default: .venv-runner's)"
    )
    parser.add_argument("--verbose", action="store_true", help="show what the containers print")
    parser.add_argument("--repo", type=Path, metavar="DIR", help="the repository (default: around the working folder)")


def run(args: argparse.Namespace) -> int:
    """Run the Jobs; 1 when one failed."""
    repository = Repository.find(args.repo)
    overlay = locks.overlay_at(repository, args.overlay)
    lock = repository.lock(f"{overlay}/{LOCK_FILE}")
    return start(repository, overlay, lock, args, publish_only=False)


def start(repository: Repository, overlay: str, lock: Lock, args: argparse.Namespace, *, publish_only: bool) -> int:
    """Render one overlay and run its Jobs, or only the one that publishes.

    Raises:
        UsageError: there is nothing to publish.
        ToolFault: no kustomize, no runner, or manifests that only a cluster can run.
    """
    from tools.localrun.local import machine, rendered
    from tools.localrun.runner import LocalRun
    from tools.localrun.screen import Screen

    jobs = rendered(repository, overlay, training=not publish_only, publish=publish_only or not args.skip_publish)
    chosen = machine(repository, lock, args.storage, args.tracking_uri, args.runner_python)
    screen = Screen()
    screen.say(f"run {lock.run_id}: storage {chosen.storage}, MLflow {chosen.tracking_uri}")
    screen.say(f"  (in place of the cluster's claim and of {lock.run.mlflow.tracking_uri})")
    extra = ("--manual",) if publish_only else ()
    return LocalRun(lock, chosen, jobs, screen, args.verbose, extra).run()
