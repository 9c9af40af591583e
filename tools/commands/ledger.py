"""Say what runs took and cost, from the audit records: GPU-hours planned, used, committed and idle, tokens, cost.

  ft ledger --by tenant                      # with each tenant's GPU-hours of this month beside its budget
  ft ledger --by month --tenant team-a --format csv

Planned are the time limits. Used are hours that Kubernetes saw, and they alone make the cost, at the price per GPU-hour on the day
of the authorization. Committed is what goes on: it counts at its limit. Idle hours and tokens are what the runs logged. An attempt
belongs to the month of its authorization (UTC). A group with two currencies has a row for each.
Exit code 1: some record is broken; it is named, and the others are counted.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tools.ledger import choosing
from tools.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tools.ledger.entries import Entry
    from tools.ledger.show import Budgets
    from tools.ledger.totals import Total


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `ft ledger`."""
    parser.add_argument("--by", choices=("tenant", "model", "month"), required=True, help="what a row stands for")
    choosing.add_arguments(parser)
    parser.add_argument(
        "--format", choices=("text", "json", "csv", "markdown"), default="text", help="how it is printed (text)"
    )
    parser.add_argument("--repo", type=Path, metavar="DIR", help="the repository (default: around the working folder)")


def run(args: argparse.Namespace) -> int:
    """Print the groups; 1 when some record is broken."""
    from tools.findings import Finding, printable
    from tools.ledger.entries import entries
    from tools.ledger.show import notes, show
    from tools.ledger.totals import totals

    repository = Repository.find(args.repo)
    chosen = choosing.chosen(repository, args)
    broken: list[Finding] = []

    def sound() -> Iterator[Entry]:
        for each in entries(repository, chosen):
            if isinstance(each, Finding):
                broken.append(each)
            else:
                yield each

    found = totals(sound(), args.by)
    budgets = _budgets(repository, found, args.month) if args.by == "tenant" else {}
    sys.stdout.write(show(found, budgets, broken, args.by, args.format))
    for fault in broken:
        print(printable(f"{fault.file}:{fault.line}: not counted: {fault.message}"), file=sys.stderr)
    for note in notes(found):
        print(note, file=sys.stderr)
    return int(bool(broken))


def _budgets(repository: Repository, totals: Sequence[Total], month: str | None) -> Budgets:
    """Of each tenant and environment among the rows: of the chosen month, else of this one."""
    from tools.ledger.budgets import budget
    from tools.locks import Locks

    locks = Locks(repository.root, month) if month is not None else repository.locks
    keys = dict.fromkeys((total.key[0], total.key[1]) for total in totals)
    return {key: budget(repository, locks, *key) for key in keys}
