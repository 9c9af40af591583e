"""Write overlays from experiments, or check those that are there.

Of an experiment that has no findings it writes `overlays/<env>/<tenant>/<name>/`: the lock run.yaml, kustomization.yaml
and patches. An overlay that exists keeps what was resolved when it was made; only `attempt` follows the experiment, and
`state: cancelled` removes it. With --tenants it writes `overlays/<env>/_tenants/<tenant>/` from tenant.yaml and the
catalogue, with --platform `overlays/<env>/_platform/` from environments/<env>.yaml. With --check it writes nothing: it
regenerates every overlay from its lock and compares both ways.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from tools import validate
from tools.errors import UsageError
from tools.expand import experiments, store
from tools.expand.experiments import Change
from tools.findings import Finding
from tools.reporters import REPORTERS
from tools.repository import Repository
from tools.rules.subject import Subject


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `ft expand`."""
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT", type=Path, help="experiment files")
    parser.add_argument("--all", action="store_true", help="every experiment of the repository")
    parser.add_argument("--tenants", action="store_true", help="every tenant's own overlay")
    parser.add_argument("--platform", action="store_true", help="the platform's own overlay of every environment")
    parser.add_argument("--serving", action="store_true", help="what every valid file below serving/ makes served")
    parser.add_argument("--environment", metavar="E", help="only what runs in this environment")
    parser.add_argument("--check", action="store_true", help="compare every overlay with its lock; write nothing")
    parser.add_argument("--format", choices=REPORTERS, default="text", help="how findings are printed (text)")
    parser.add_argument("--repo", type=Path, metavar="DIR", help="the repository; the one around here when omitted")


def run(args: argparse.Namespace) -> int:
    """Write or check; 1 when there are errors."""
    repository = Repository.find(args.repo)
    if args.check:
        if args.experiments or args.all or args.tenants or args.platform or args.serving or args.environment:
            raise UsageError("--check looks at every overlay; call `ft expand --check` alone")
        from tools.expand import check

        return _report(check.check(repository), args.format)
    files = _files(repository, args)
    result = validate.Result(files, [])
    for change in _changes(repository, files, args.environment, result.findings):
        _apply(repository, change)
    for change in _administered(repository, args):
        _apply(repository, change)
    for change in _served(repository, args.environment, result.findings) if args.serving else ():
        _apply(repository, change)
    return _report(result, args.format) if result.findings else 0


def _administered(repository: Repository, args: argparse.Namespace) -> Iterator[Change]:
    """What tenants' and the platform's own overlays are to hold."""
    if args.tenants:
        from tools.expand import tenants

        yield from tenants.changes(repository, args.environment)
    if args.platform:
        from tools.expand import platforms

        yield from platforms.changes(repository, args.environment)


def _served(repository: Repository, environment: str | None, findings: list[Finding]) -> list[Change]:
    """What the overlays of served models are to hold; a file with errors leaves its overlay as it is."""
    from tools.expand import serving

    valid = []
    for source in serving.sources(repository, environment):
        found = validate.check(repository, source)
        findings += found
        valid += [] if any(finding.severity == "error" for finding in found) else [source]
    return serving.changes(repository, valid, environment)


def _files(repository: Repository, args: argparse.Namespace) -> list[str]:
    if args.all:
        return repository.experiments()
    if not args.experiments and not args.tenants and not args.platform and not args.serving:
        raise UsageError("nothing to expand; give experiment files, --all, --tenants, --platform or --serving")
    files = [repository.relative(path) for path in args.experiments]
    for file in files:
        if file.split("/")[0] != "experiments" or not (repository.root / file).is_file():
            raise UsageError(f"{file} is no experiment; give files such as experiments/team-a/exp-001.yaml")
    return files


def _changes(
    repository: Repository, files: Iterable[str], environment: str | None, findings: list[Finding]
) -> Iterator[Change]:
    """What to do for experiments without errors; all findings go to `findings`."""
    for file in files:
        if environment is not None and _environment(repository, file) != environment:
            continue
        found = validate.check(repository, file)
        findings += found
        if any(finding.severity == "error" for finding in found):
            continue
        change = experiments.change(repository, file)
        if isinstance(change, Finding):
            findings.append(change)
        elif change is not None:
            yield change


def _environment(repository: Repository, file: str) -> str | None:
    tenant_name, name = file.split("/")[1:3]
    return Subject(repository, repository.experiment(file), tenant_name, name).environment_name


def _apply(repository: Repository, change: Change) -> None:
    folder = repository.root / change.folder
    if change.files is None:
        done = "removed" if store.remove(folder) else None
    else:
        done = "written" if store.replace(folder, change.files) else None
    print(f"{change.folder}: {done or 'unchanged'}")


def _report(result: validate.Result, name: str) -> int:
    sys.stdout.write(REPORTERS[name](result.findings, result.files))
    return 1 if result.failed else 0
