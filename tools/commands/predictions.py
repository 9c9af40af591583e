"""Say how good the predictions of peak memory and training time were: each finished run, then each model and GPU.

  ft predictions
  ft predictions --tenant team-a --format csv

Predicted is what `ft plan` said when the run was authorized, measured what the runner logged and the bot recorded (audit/). Runs on a
CPU are not predicted. Goals: memory within 10 % and time within 15 % where finished runs of the model on the GPU were known,
20 % and 40 % where none was. Exit code 1: some record is broken; it is named, and the others are listed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tools.ledger import choosing
from tools.repository import Repository


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `ft predictions`."""
    choosing.add_arguments(parser)
    parser.add_argument(
        "--format", choices=("text", "json", "csv", "markdown"), default="text", help="how it is printed (text)"
    )
    parser.add_argument("--repo", type=Path, metavar="DIR", help="the repository (default: around the working folder)")


def run(args: argparse.Namespace) -> int:
    """Print the review; 1 when some record is broken."""
    from tools.findings import Finding, printable
    from tools.predict.review import Review, groups, reviews
    from tools.predict.show import show

    repository = Repository.find(args.repo)
    found: list[Review] = []
    broken: list[Finding] = []
    for each in reviews(repository, choosing.chosen(repository, args)):
        if isinstance(each, Finding):
            broken.append(each)
        else:
            found.append(each)
    sys.stdout.write(show(found, groups(found), broken, args.format))
    for fault in broken:
        print(printable(f"{fault.file}:{fault.line}: left out: {fault.message}"), file=sys.stderr)
    return int(bool(broken))
