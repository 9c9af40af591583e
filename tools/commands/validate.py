"""Check the files that people write: every fault of every file in one run.

Without paths all of experiments/, tenants/, catalog/ and environments/ are checked. Exit code 0: fine, warnings at
most; 1: faults; 2: wrong usage, for instance a path that does not exist. The page docs/rules.md explains each rule.

  ft validate
  ft validate experiments/team-a/exp-002.yaml
  ft validate --format codequality --output gl-code-quality-report.json
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tools.errors import ToolFault
from tools.reporters import REPORTERS
from tools.repository import Repository
from tools.validate import files, validate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `ft validate` takes."""
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="files or folders; all files when omitted")
    parser.add_argument("--format", choices=REPORTERS, default="text", help="how to print the findings (text)")
    help_output = "write the report there, and the findings as text to standard output"
    parser.add_argument("--output", type=Path, metavar="FILE", help=help_output)
    parser.add_argument("--repo", type=Path, metavar="DIR", help="the repository; the one around here when omitted")


def run(args: argparse.Namespace) -> int:
    """Check and report; 1 when there are errors.

    Raises:
        UsageError: a path does not exist or is of no known kind.
        ToolFault: the report cannot be written.
    """
    repository = Repository.find(args.repo)
    result = validate(repository, files(repository, args.paths))
    report = REPORTERS[args.format](result.findings, result.files)
    if args.output is None:
        _print(report)
    else:
        _write(args.output, report)
        _print(REPORTERS["text"](result.findings, result.files))
    return 1 if result.failed else 0


def _print(text: str) -> None:
    """Names of files may hold bytes that are no UTF-8; they are printed escaped."""
    sys.stdout.write(text.encode("utf-8", "backslashreplace").decode("utf-8"))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise ToolFault(f"{path} cannot be written: {error.strerror}; give --output another place") from error
