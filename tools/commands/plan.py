"""Say what an experiment would do, need and cost.

Steps, tokens, peak memory with each formula, storage, hours, quota, approvals needed and the difference from the nearest
earlier experiment. Without arguments: every experiment that is active and has no overlay yet. Experiments with faults are not planned
(exit 1). Estimates come from formulas whose sources stand beside them; nothing is read but the repository.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tools.errors import UsageError
from tools.plan.estimate import Plan
from tools.plan.planner import Planner
from tools.repository import Repository
from tools.rules.kinds import place_of
from tools.rules.subject import Subject
from tools.validate import check

FORMATS = {"text": "tools.plan.text", "json": "tools.plan.machine", "markdown": "tools.plan.markdown"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `ft plan`."""
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT", type=Path, help="experiment files")
    parser.add_argument("--environment", metavar="E", help="only what runs in this environment")
    parser.add_argument("--format", choices=sorted(FORMATS), default="text", help="how plans are printed")
    parser.add_argument("--repo", type=Path, metavar="DIR", help="the repository (default: around the working folder)")


def run(args: argparse.Namespace) -> int:
    """Plan what is sound; 1 when something is not. Plans go to stdout, refusals to stderr, so that json stays json."""
    repository = Repository.find(args.repo)
    files = [_experiment(repository, path) for path in args.experiments] or _waiting(repository)
    files = [file for file in files if args.environment in {None, _environment(repository, file)}]
    refused = [file for file in files if not _sound(repository, file)]
    planner = Planner(repository)
    plans = [planner.plan(file) for file in files if file not in refused]
    report: Callable[[Sequence[Plan]], str] = importlib.import_module(FORMATS[args.format]).report
    if files and not plans and args.format != "json":
        return 1
    print(report(plans) if plans or args.format == "json" else "nothing to plan: no experiment waits for its overlay")
    return 1 if refused else 0


def _experiment(repository: Repository, path: Path) -> str:
    file = repository.relative(path)
    place = place_of(file)
    if place is None or place.kind != "experiment":
        raise UsageError(f"{path} is no experiment; allowed: experiments/<tenant>/<name>.yaml")
    if not (repository.root / file).is_file():
        raise UsageError(f"{path} does not exist")
    return file


def _waiting(repository: Repository) -> list[str]:
    """Experiments without an overlay."""
    found = []
    for file in repository.experiments():
        place = place_of(file)
        if place is None or place.kind != "experiment" or place.name in repository.locks.taken(place.tenant_name):
            continue
        parsed = repository.experiment(file)
        if parsed.value is None or parsed.value.state != "cancelled":
            found.append(file)
    return found


def _environment(repository: Repository, file: str) -> str | None:
    _, tenant, name = file.split("/")
    return Subject(repository, repository.experiment(file), tenant, name.removesuffix(".yaml")).environment_name


def _sound(repository: Repository, file: str) -> bool:
    errors = sum(finding.severity == "error" for finding in check(repository, file))
    if errors:
        print(f"{file}: not planned, {errors} finding(s); run `ft validate {file}`", file=sys.stderr)
    return not errors
