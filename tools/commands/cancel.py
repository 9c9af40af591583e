"""Write `state: cancelled` into an experiment: in a merge request it stops the run, for good.

Everything else in the file stays as it is, comments too. A member of the tenant may merge it without an approval; then the
bot removes the overlay and asks Argo CD to stop. A cancelled experiment never runs again: copy it to a new file instead.

  ft cancel experiments/team-a/exp-002.yaml
"""

from __future__ import annotations

import argparse
import io
import re
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tools.errors import UsageError
from tools.findings import Finding
from tools.reporters import REPORTERS
from tools.repository import Repository
from tools.rules.kinds import place_of
from tools.writing import write_text

_WIDTH = 1_000_000  # no line is ever folded


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `ft cancel`."""
    parser.add_argument("experiment", metavar="EXPERIMENT", type=Path, help="experiments/<tenant>/<name>.yaml")
    parser.add_argument("--repo", type=Path, metavar="DIR", help="the repository; the one around here when omitted")


def run(args: argparse.Namespace) -> int:
    """Write it and say what comes next; 1 when the file has faults, and then nothing is written.

    Raises:
        UsageError: there is no such experiment.
        ToolFault: it cannot be written.
    """
    repository = Repository.find(args.repo)
    file = repository.relative(args.experiment)
    place = place_of(file)
    if place is None or place.kind != "experiment" or not (repository.root / file).is_file():
        raise UsageError(f"{args.experiment} is no experiment; name a file experiments/<tenant>/<name>.yaml")
    parsed = repository.experiment(file)
    if parsed.value is None or parsed.findings:
        return _refuse(file, parsed.findings)
    if parsed.value.state == "cancelled":
        print(f"{file} is cancelled already; nothing was written")
        return 0
    path = repository.root / file
    write_text(path, cancelled(path.read_bytes().decode("utf-8")))
    print(f"wrote {file}: state: cancelled\n{_next(file, place.tenant_name, place.name)}")
    return 0


def cancelled(text: str) -> str:
    """A valid experiment's text with `state: cancelled`, everything else as it was, byte for byte where that is possible."""
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = _WIDTH
    wanted = yaml.load(text)
    if "state" in wanted:
        short = _replaced(text, *wanted.lc.value("state"))
    else:
        newline = "\r\n" if "\r\n" in text else "\n"
        short = f"{text}{'' if text.endswith(newline) else newline}state: cancelled{newline}"
    wanted["state"] = "cancelled"
    if _reads(yaml, short, wanted):
        return short
    stream = io.StringIO()  # a mapping in braces, for instance: nothing can stand behind it
    yaml.dump(wanted, stream)
    return stream.getvalue()


def _replaced(text: str, line: int, column: int) -> str:
    """The text with the word at a place (counted from 0) replaced."""
    lines = text.splitlines(keepends=True)
    lines[line] = lines[line][:column] + re.sub(r"[\w'\"]+", "cancelled", lines[line][column:], count=1)
    return "".join(lines)


def _reads(yaml: YAML, text: str, wanted: object) -> bool:
    try:
        return bool(yaml.load(text) == wanted)
    except YAMLError:
        return False


def _refuse(file: str, findings: list[Finding]) -> int:
    print(REPORTERS["text"](findings, [file]), end="")
    print(f"{file} is unchanged; correct what is named above, then run `ft cancel {file}` again")
    return 1


def _next(file: str, tenant: str, name: str) -> str:
    branch = f"cancel-{tenant}-{name}"
    return (
        f"Next: open a merge request with it and merge it; a member of {tenant} may do so without an approval:\n"
        f"  git switch -c {branch} && git commit -m 'experiments: cancel {name}' {file} && git push -u origin {branch}\n"
        "The bot then removes the overlay and stops the run. A cancelled experiment never runs again; to run it anew, copy it "
        "to a file with a new name, without `state`."
    )
