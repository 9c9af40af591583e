"""The command line: `python -m runner train|publish|certify|evaluate --lock FILE --storage DIR`, and `merge` by hand."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runner.exits import RunnerError

if TYPE_CHECKING:  # a merge by hand needs neither lock nor formats: 0.13 s of imports
    from runner.storage import Paths


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (see `runner.exits`)."""
    options = _parser().parse_args(argv)
    paths = None
    try:
        if options.command == "merge":
            from runner.merge import command

            return command.run(options.base, options.adapter, options.out, options.report)
        paths = _paths(options)
        return _locked(options, paths)
    except (RunnerError, OSError, MemoryError) as error:
        return _failed(error, paths)


def _paths(options: argparse.Namespace) -> Paths:
    from runner import locks
    from runner.storage import Paths

    return Paths(options.storage, locks.read(options.lock))


def _failed(error: RunnerError | OSError | MemoryError, paths: Paths | None) -> int:
    from runner import failures

    failure = error if isinstance(error, RunnerError) else None
    if failure is None:
        failure = failures.explain(error, paths) if paths else RunnerError(str(error), "check the path")
    failures.report(failure, error, None)
    return failure.exit_code


def _locked(options: argparse.Namespace, paths: Paths) -> int:
    if options.command == "train":
        from runner import train

        return train.run(paths)
    from runner import publish

    if options.command == "certify":
        return publish.certify(paths)
    if options.command == "evaluate":
        return publish.evaluate(paths, again=options.again)
    return publish.run(paths, manual=options.manual)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="runner", description="Run one locked fine-tuning run.")
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="train, or resume, until completion.json is there")
    publish = commands.add_parser("publish", help="merge, publish and register a finished run")
    evaluate = commands.add_parser("evaluate", help="score a published run on its held-out data")
    certify = commands.add_parser("certify", help="merge and certify a finished run, and leave both for `publish`")
    for command in (train, publish, evaluate, certify):
        command.add_argument("--lock", type=Path, required=True, help="run.yaml of the overlay")
        command.add_argument("--storage", type=Path, required=True, help="where the tenant's storage is mounted")
    publish.add_argument("--manual", action="store_true", help="also where the experiment says merge: false")
    evaluate.add_argument("--again", action="store_true", help="judge anew, for instance against a new champion")
    merge = commands.add_parser("merge", help="merge an adapter into its base model by hand")
    merge.add_argument("--base", type=Path, required=True, help="folder of the base model (safetensors)")
    merge.add_argument("--adapter", type=Path, required=True, help="folder that peft or LLaMA Factory saved")
    merge.add_argument("--out", type=Path, required=True, help="new folder for the merged model")
    merge.add_argument("--report", type=Path, help="write hashes and what changed in each tensor there, as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
