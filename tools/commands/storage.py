"""Say what a tenant's runs hold on its shared storage, and remove what its retention lets go.

`ft storage report TENANT --storage DIR` reads only. `ft storage prune TENANT --storage DIR` says what would go and removes
it with --yes, keeping a record in DIR/removals.jsonl. DIR is where the tenant's claim is mounted here.

What may go is `retention:` of the tenant, else of the environment. What is or lately was served, what an alias of the
registry points to, what is recalled and not reviewed, what belongs to a run that is not over, and whatever is not recognised
stays. Run it in an up-to-date clone: while the registry does not answer, or git's history is cut, no merged model goes.
Exit code 1: the storage is above its quota (report), something could not be removed (prune).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from tools.repository import Repository

if TYPE_CHECKING:
    from tools.storage.survey import Survey


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The two sub-commands."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="report|prune")
    report = actions.add_parser("report", help="what each run holds, and what may go")
    prune = actions.add_parser("prune", help="remove what may go")
    for action in (report, prune):
        action.add_argument("tenant", metavar="TENANT", help="a folder of tenants/")
        action.add_argument(
            "--storage", type=Path, metavar="DIR", required=True, help="the tenant's claim, mounted here"
        )
        action.add_argument("--env", metavar="E", help="whose claim it is (default: the tenant's first environment)")
        action.add_argument("--tracking-uri", metavar="URI", help="MLflow (default: the environment's)")
        action.add_argument("--format", choices=("text", "json"), default="text", help="how it is printed (text)")
        action.add_argument(
            "--repo", type=Path, metavar="DIR", help="the repository (default: around the working folder)"
        )
    prune.add_argument("--yes", action="store_true", help="remove it; without this nothing is changed")


def run(args: argparse.Namespace) -> int:
    """Report or prune; 1 above the quota, or when something could not be removed."""
    from tools.storage.survey import look

    survey = look(Repository.find(args.repo), args.tenant, args.env, args.storage.resolve(), args.tracking_uri)
    if args.action == "report":
        return _report(survey, args.format)
    return _prune(survey, args.format, yes=args.yes)


def _report(survey: Survey, form: str) -> int:
    from tools.storage import report

    print(json.dumps(report.data(survey), indent=2) if form == "json" else "\n".join(report.lines(survey)))
    return int(survey.used > survey.quota)


def _prune(survey: Survey, form: str, *, yes: bool) -> int:
    from tools.storage import prune, report

    failures: list[str] = []
    said = prune.carry_out(survey, failures) if yes else prune.lines(survey)
    if form == "text":
        for line in said:
            print(line, flush=True)
    else:
        list(said)
        parts = [report.part(each) for each in survey.removable]
        outcome = {"removed" if yes else "would_remove": parts, "failures": failures, "unknown": list(survey.unknown)}
        print(json.dumps(outcome, indent=2))
    return int(bool(failures))
