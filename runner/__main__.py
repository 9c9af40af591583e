"""The command line: `python -m runner train|publish --lock FILE --storage DIR`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from runner import failures, locks
from runner.exits import RunnerError
from runner.storage import Paths


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (see `runner.exits`)."""
    options = _parser().parse_args(argv)
    paths = None
    try:
        paths = Paths(options.storage, locks.read(options.lock))
        if options.command == "train":
            from runner import train

            return train.run(paths)
        from runner import publish

        return publish.run(paths, manual=options.manual)
    except RunnerError as error:
        failures.report(error, error, None)
        return error.exit_code
    except (OSError, MemoryError) as error:
        failure = failures.explain(error, paths) if paths else RunnerError(str(error), "check the path")
        failures.report(failure, error, None)
        return failure.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="runner", description="Run one locked fine-tuning run.")
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="train, or resume, until completion.json is there")
    publish = commands.add_parser("publish", help="merge, publish and register a finished run")
    for command in (train, publish):
        command.add_argument("--lock", type=Path, required=True, help="run.yaml of the overlay")
        command.add_argument("--storage", type=Path, required=True, help="where the tenant's storage is mounted")
    publish.add_argument("--manual", action="store_true", help="also where the experiment says merge: false")
    return parser


if __name__ == "__main__":
    sys.exit(main())
