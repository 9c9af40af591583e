"""Run a finished run again, from git and its storage, and say whether the same came out, or what differs.

The lock comes from overlays/, or from git's history once the overlay was retired. First base model, data, result, image and
package versions are compared with the lock and with completion.json: where files differ, it says which and trains nothing.
Then the run is trained again on this machine, as `ft run` does, into --into; the original is only read. The same command goes
on after an interruption; remove the folder to train once more.
Exit code 1: something differs, or the second run failed.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tools.errors import ToolFault
from tools.repository import Repository


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `ft reproduce`."""
    parser.add_argument("run_id", metavar="RUN_ID", help="as audit/, `ft status` and the registry's tags show it")
    parser.add_argument("--storage", type=Path, metavar="DIR", required=True, help="the tenant's claim, mounted here")
    parser.add_argument("--into", type=Path, metavar="DIR", help="default: .local/reproduce/RUN_ID of the repository")
    parser.add_argument(
        "--runner-python", type=Path, metavar="FILE", help="Python with LLaMA Factory (default: .venv-runner's)"
    )
    parser.add_argument("--verbose", action="store_true", help="show what the container prints")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how it is printed (text)")
    parser.add_argument("--repo", type=Path, metavar="DIR", help="the repository (default: around the working folder)")


def run(args: argparse.Namespace) -> int:
    """Reproduce; 1 unless the same came out."""
    from tools.localrun.local import RUNNER_PYTHON
    from tools.reproduction import source, text
    from tools.reproduction.outcome import reproduce

    repository = Repository.find(args.repo)
    found = source.find(repository, args.run_id)
    # Not resolved: a virtual environment's python is a link, and what it leads to has none of its packages.
    python = args.runner_python.absolute() if args.runner_python else repository.root / RUNNER_PYTHON
    if not python.is_file():
        raise ToolFault(f"{python} is not there; run `make setup-runner`, or give --runner-python FILE")
    into = args.into or repository.root / ".local" / "reproduce" / args.run_id
    outcome = reproduce(repository, found, args.storage, into, python, verbose=args.verbose)
    print(json.dumps(text.data(outcome), indent=2) if args.format == "json" else "\n".join(text.lines(outcome)))
    return int(outcome.verdict != "equal")
