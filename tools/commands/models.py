"""List registered models with aliases and state, or compare two versions: metrics, data, parameters, cost.

  ft models                      # every tenant's versions, which are served and which are recalled
  ft models team-a
  ft models compare team-a.support@champion team-a.support:4

Versions come from MLflow (environments/<env>.yaml, or --tracking-uri), the rest from git. Exit code 1: a model is served
although its data was recalled. 3: MLflow does not answer.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tools.errors import UsageError
from tools.repository import Repository

if TYPE_CHECKING:
    from tools.models.versions import Versions

_COMPARED = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `ft models`."""
    parser.add_argument("words", nargs="*", metavar="TENANT | compare A B", help="tenants, or two versions to compare")
    parser.add_argument("--environment", "--env", metavar="E", help="whose MLflow (default: each environment's)")
    parser.add_argument("--tracking-uri", metavar="URI", help="MLflow, when it is not the environment's")
    parser.add_argument(
        "--format", choices=("text", "json", "markdown"), default="text", help="how it is printed (text)"
    )
    parser.add_argument("--all", action="store_true", help="compare: lines that are equal too")
    parser.add_argument("--repo", type=Path, metavar="DIR", help="the repository (default: around the working folder)")


def run(args: argparse.Namespace) -> int:
    """Print the list or the comparison."""
    repository = Repository.find(args.repo)
    if args.words[:1] == ["compare"]:
        if len(args.words) != _COMPARED:
            raise UsageError(
                "compare takes two versions, for instance `ft models compare team-a.support:3 team-a.support:4`"
            )
        return _compare(repository, args)
    return _list(repository, args)


def _list(repository: Repository, args: argparse.Namespace) -> int:
    from tools.models import listing

    known = sorted(path.parent.name for path in repository.root.glob("tenants/*/tenant.yaml"))
    if unknown := [name for name in args.words if name not in known]:
        raise UsageError(f"there is no tenant {unknown[0]!r}; allowed: {', '.join(known)}")
    versions = [
        version
        for server in servers(repository, args)
        for name in args.words or known
        for version in server.of_tenant(name)
    ]
    found = list(listing.listed(repository, versions))
    sys.stdout.write(
        json.dumps(listing.data(found), indent=2) + "\n" if args.format == "json" else listing.show(found, args.format)
    )
    alarms = [each for each in found if each.alarm]
    for each in alarms:
        print(
            f"{each.model} version {each.version} IS SERVED ({', '.join(each.served)}) though its data is recalled:"
            f" {'; '.join(each.recalled)}; promote another version (`ft promote`) or take it out of service",
            file=sys.stderr,
        )
    return int(bool(alarms))


def _compare(repository: Repository, args: argparse.Namespace) -> int:
    from tools.models import comparing, listing

    server = servers(repository, args)[0]
    names = {comparing.split(word)["name"] for word in args.words[1:]}
    versions = {name: server.of_model(name) for name in names}
    sides = [
        comparing.Side(version, server.data(version.run), listing.record_of(repository, version))
        for version in (comparing.find(versions, word) for word in args.words[1:])
    ]
    rows = list(comparing.rows(*sides))
    if args.format == "json":
        data = {
            "versions": [side.name for side in sides],
            "rows": [{**row._asdict(), "differs": row.differs} for row in rows],
        }
        print(json.dumps(data, indent=2))
        return 0
    shown = [
        (row.part, row.name, row.one, row.other, "≠" if row.differs else "") for row in rows if args.all or row.differs
    ]
    sys.stdout.write(listing.table(("", "", sides[0].name, sides[1].name, ""), shown, args.format))
    return 0


def servers(repository: Repository, args: argparse.Namespace) -> list[Versions]:
    """The MLflow servers that the command line means, each once.

    Raises:
        UsageError: there is no such environment.
    """
    from tools.models.versions import Versions

    known = [name for name in repository.names("environments") if name != "platform"]
    if args.environment is not None and args.environment not in known:
        raise UsageError(f"--environment {args.environment}; allowed: {', '.join(known)}")
    if args.tracking_uri is not None:
        if not args.tracking_uri.startswith(("http://", "https://")):
            raise UsageError(f"--tracking-uri {args.tracking_uri}; allowed: http://... or https://...")
        return [Versions(args.tracking_uri)]
    found = [repository.environment(name) for name in ([args.environment] if args.environment else known)]
    uris = dict.fromkeys(each.mlflow.tracking_uri for each in found if each is not None)
    return [Versions(uri) for uri in uris]
