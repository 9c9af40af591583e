"""Write serving/<env>/<tenant>/<model_name>.yaml: in a merge request that the tenant's approvers approve, it is what is served.

  ft promote exp-002-9c0d1e2f

The version and the hash of what was published come from the run's audit record. The same command with the run id of an earlier
version is a rollback; so is reverting the merge request. The bot does this by itself when a run's evaluation has passed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tools.errors import UsageError
from tools.formats.audit import Audit
from tools.reporters import REPORTERS
from tools.repository import Repository
from tools.rules.served import registered
from tools.serving_file import file_of, served_by, text
from tools.validate import check
from tools.writing import write_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `ft promote`."""
    parser.add_argument("run_id", metavar="RUN_ID", help="the run whose model is to be served; `ft models` lists them")
    parser.add_argument("--environment", "--env", metavar="E", help="where (default: where the run was)")
    parser.add_argument("--repo", type=Path, metavar="DIR", help="the repository; the one around here when omitted")


def run(args: argparse.Namespace) -> int:
    """Write it and say what comes next; 1 when it must not be promoted, and then nothing is written.

    Raises:
        UsageError: there is no such run, or nothing of it was registered.
        ToolFault: the file cannot be written.
    """
    repository = Repository.find(args.repo)
    record = _record(repository, args.run_id, args.environment)
    made, served = registered(record), served_by(record)
    if made is None or served is None:
        lacks = "no registered version" if made is None else "no hash of what was published"
        raise UsageError(
            f"{record.file} has {lacks}; wait for the bot's record, `ft status {args.run_id}` says where it stands"
        )
    file = file_of(record.environment, made.name)
    path = repository.root / file
    before = path.read_bytes() if path.is_file() else None
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text(record.environment, made.name, served))
    findings = check(Repository(repository.root), file)
    if findings:
        print(REPORTERS["text"](findings, [file]), end="")
    if any(finding.severity == "error" for finding in findings):
        _restore(path, before)
        print(f"{file} is unchanged: {args.run_id} must not be promoted, for the reasons above")
        return 1
    print(f"wrote {file}: version {served.model_version} of {made.name}\n{_next(file, args.run_id)}")
    return 0


def _record(repository: Repository, run_id: str, environment: str | None) -> Audit:
    paths = sorted(repository.root.glob(f"audit/{environment or '*'}/*/*.yaml"))
    found = [path.relative_to(repository.root).as_posix() for path in paths if path.stem == run_id]
    records = [record for file in found if (record := repository.optional(file, Audit)) is not None]
    if not records:
        raise UsageError(f"audit/ has no record of the run {run_id!r}; `git pull`, or look at `ft models`")
    if len(records) > 1:
        places = ", ".join(record.file for record in records)
        raise UsageError(f"several runs are called {run_id}: {places}; give --environment")
    return records[0]


def _restore(path: Path, before: bytes | None) -> None:
    if before is not None:
        path.write_bytes(before)
        return
    path.unlink()
    for folder in list(path.parents)[:3]:  # serving/<env>/<tenant>, as far as this made them
        if any(folder.iterdir()):
            return
        folder.rmdir()


def _next(file: str, run_id: str) -> str:
    branch = f"promote-{run_id}"
    return (
        "Next: open a merge request with it; the tenant's approvers approve after the last push, then somebody merges:\n"
        f"  git switch -c {branch} && git add {file} && git commit -m 'serving: promote {run_id}' && git push -u origin {branch}\n"
        "The bot then writes the overlay that the vLLM reads; `ft serve-check` says when it answers with this version."
    )
