"""The job `validate`: every check of what a pipeline's commits change, and one set of reports.

`python -m ci.check --reports reports` calls what `ft validate`, `ft expand --check`, `ft render --check` and `ft plan` call, in
one process: each has its start-up time once. What was changed, and what depends on it, is looked at; everything where nobody can
say what changed. The experiments that are new are expanded and rendered in a temporary folder, so that what
an approval would start is known to build. Exit code 0: fine, warnings at most; 1: faults.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from ci import ownership, reports
from ci.changed import base_commit, changed
from ci.scope import Scope, scope
from tools import validate
from tools.expand import check as expand_check
from tools.expand import experiments, locks
from tools.findings import Finding
from tools.plan import machine, markdown
from tools.plan.planner import Planner
from tools.render import check as render_check
from tools.repository import Repository
from tools.validate import Result

_NOTHING = "No experiment was added or changed.\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Check, report, and return the exit code."""
    parser = argparse.ArgumentParser(prog="ci.check", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--reports", type=Path, required=True, metavar="DIR", help="where the reports go")
    reports_folder: Path = parser.parse_args(argv).reports
    repository = Repository.find()
    return int(run(repository, base_commit(repository.root, os.environ), os.environ, reports_folder))


def run(repository: Repository, base: str | None, environment: Mapping[str, str], folder: Path) -> bool:
    """Do every check and write every report; whether there is an error."""
    found = None if base is None else changed(repository.root, base)
    what = scope(repository.root, found)
    result = Result([], [])
    for part in (_validated(repository, what), _expanded(repository, what), _rendered(repository, what)):
        result.files.extend(part.files)
        result.findings.extend(part.findings)
    sound = _sound(result, what)
    result.findings.extend(_built(repository, sound))
    user = ownership.author(environment)
    if base is not None and found is not None and user is not None:
        result.findings.extend(ownership.findings(repository.root, base, found, user))
    planner = Planner(repository)
    plans = [planner.plan(file) for file in sound]
    files = {*result.files, *(finding.file for finding in result.findings)}
    reports.write(folder, Result(sorted(files), sorted(set(result.findings))))
    (folder / "plan.md").write_text(f"{markdown.report(plans)}\n" if plans else _NOTHING, encoding="utf-8")
    (folder / "plan.json").write_text(f"{machine.report(plans)}\n", encoding="utf-8")
    return result.failed


def _validated(repository: Repository, what: Scope) -> Result:
    files = validate.files(repository, []) if what.files is None else list(what.files)
    _say(
        "ft validate",
        "all files" if what.files is None else f"{len(files)} file(s), the changed and what depends on them",
    )
    return validate.validate(repository, files)


def _expanded(repository: Repository, what: Scope) -> Result:
    _say("ft expand --check", "all overlays" if what.checked is None else f"{len(what.checked)} overlay(s)")
    return expand_check.check(repository, what.checked)


def _rendered(repository: Repository, what: Scope) -> Result:
    overlays = what.rendered
    if overlays is None:
        overlays = (*locks.runs(repository), *locks.tenants(repository), *locks.platforms(repository))
    _say("ft render --check", f"{len(overlays)} overlay(s)")
    return render_check.check(repository, overlays) if overlays else Result([], [])


def _sound(result: Result, what: Scope) -> list[str]:
    """The changed experiments without an error; only those can be planned."""
    faulty = {finding.file for finding in result.findings if finding.severity == "error"}
    sound = [file for file in what.experiments if file not in faulty]
    _say("ft plan", f"{len(sound)} of {len(what.experiments)} changed experiment(s)")
    return sound


def _built(repository: Repository, files: Sequence[str]) -> list[Finding]:
    """Faults of the overlays that experiments without one would get."""
    with tempfile.TemporaryDirectory() as folder:
        trial = Repository(Path(folder))
        overlays, findings = [], []
        for file in files:
            change = experiments.change(repository, file)
            if isinstance(change, Finding):
                findings.append(change)
            elif change is not None and change.files is not None:
                overlays.append(change.folder)
                _write(trial.root / change.folder, change.files)
        if overlays:
            shutil.copytree(repository.root / "base", trial.root / "base")
            _say("ft render --check", f"{len(overlays)} overlay(s) that an approval would make")
            findings += render_check.check(trial, overlays).findings
        return findings


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def _say(command: str, what: str) -> None:
    print(f"{command}: {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
