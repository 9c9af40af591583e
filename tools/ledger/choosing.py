"""Which records a command is asked about: the options, and what there is to choose from."""

from __future__ import annotations

import argparse
import re

from tools.errors import UsageError
from tools.ledger.entries import Chosen
from tools.repository import Repository

_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])\Z")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that narrow it down."""
    parser.add_argument("--environment", "--env", metavar="E", help="only what ran in this environment")
    parser.add_argument("--tenant", metavar="T", help="only this tenant's runs")
    parser.add_argument("--month", metavar="YYYY-MM", help="only what was authorized in this month (UTC)")


def chosen(repository: Repository, args: argparse.Namespace) -> Chosen:
    """What the options say. A tenant that is gone still has its records.

    Raises:
        UsageError: one names what there is not.
    """
    root = repository.root
    if args.month is not None and not _MONTH.match(args.month):
        raise UsageError(f"--month {args.month}; allowed: YYYY-MM, for instance 2026-11")
    environments = {name for name in repository.names("environments") if name != "platform"}
    environments |= {path.name for path in root.glob("audit/[!.]*") if path.is_dir()}
    tenants = {path.name for path in [*root.glob("tenants/[!.]*"), *root.glob("audit/*/[!.]*")] if path.is_dir()}
    for option, known in (("environment", environments), ("tenant", tenants)):
        value = getattr(args, option)
        if value is not None and value not in known:
            raise UsageError(f"--{option} {value}; allowed: {', '.join(sorted(known))}")
    return Chosen(args.environment, args.tenant, args.month)
