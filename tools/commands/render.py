"""Build overlays with kustomize and print the manifests, or check them.

With --check nothing is printed but findings: every object is compared with the Kubernetes API's own schemas (strictly,
every minor from 1.31) and with the platform's security facts.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tools.errors import ToolFault, UsageError
from tools.expand import locks
from tools.render.kustomize import Kustomize
from tools.reporters import REPORTERS
from tools.repository import Repository


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `ft render`."""
    parser.add_argument("overlays", nargs="*", metavar="OVERLAY", type=Path, help="folders below overlays/")
    parser.add_argument("--all", action="store_true", help="every overlay of the repository")
    parser.add_argument("--check", action="store_true", help="check the manifests instead of printing them")
    parser.add_argument("--format", choices=REPORTERS, default="text", help="how findings are printed")
    parser.add_argument("--repo", type=Path, metavar="DIR", help="the repository (default: around the working folder)")


def run(args: argparse.Namespace) -> int:
    """Print manifests, or findings (1 when there are any)."""
    repository = Repository.find(args.repo)
    overlays = chosen(repository, args)
    if args.check:
        from tools.render.check import check

        result = check(repository, overlays)
        print(REPORTERS[args.format](result.findings, result.files), end="")
        return 1 if result.failed else 0
    for number, built in enumerate(Kustomize.find().build(repository.root, overlays)):
        if built.fault is not None:
            raise ToolFault(f"{built.overlays[0]} does not build: {built.fault}; see `ft expand --check`")
        print("---\n" if number else "", built.manifests, sep="", end="")
    return 0


def chosen(repository: Repository, args: argparse.Namespace) -> list[str]:
    """The overlay folders that the command line names.

    Raises:
        UsageError: none are named, or one is no overlay.
    """
    if args.all:
        return locks.runs(repository) + locks.tenants(repository) + locks.platforms(repository)
    if not args.overlays:
        raise UsageError("nothing to render; give folders such as overlays/dev/team-a/exp-001, or --all")
    platform = locks.platforms(repository)
    named = ((path, repository.relative(path)) for path in args.overlays)
    return [folder if folder in platform else locks.overlay_at(repository, path) for path, folder in named]
