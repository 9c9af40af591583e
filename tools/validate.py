"""`ft validate` without its command line: which files -> each file's findings.

The phases: `files` finds what to look at, `check` reads one file as its format and lets the rules judge it, `validate`
does so for all. Experiments are let go of after their turn, so that memory does not grow with their number.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.errors import UsageError
from tools.findings import Finding
from tools.formats.parse import Parsed
from tools.repository import Repository
from tools.rules import rules_of
from tools.rules.entry import Entry
from tools.rules.kinds import FOLDERS, FORMATS, Place, place_of
from tools.rules.subject import Subject


@dataclass(frozen=True, slots=True)
class Result:
    """What was looked at and what was found, both in the order of the files."""

    files: list[str]
    findings: list[Finding]

    @property
    def failed(self) -> bool:
        """Whether there is an error; warnings alone fail nothing."""
        return any(finding.severity == "error" for finding in self.findings)


def validate(repository: Repository, files: Iterable[str]) -> Result:
    """Check files (relative to the root), each once."""
    result = Result([], [])
    for file in files:
        result.files.append(file)
        result.findings.extend(check(repository, file))
    return result


def check(repository: Repository, file: str) -> list[Finding]:
    """All findings about one file, in the order of its lines."""
    place = place_of(file)
    if place is None and (repository.root / file).is_symlink():
        return repository.document(file).findings
    findings = [finding for rule in rules_of("path") for finding in rule.check(file)]
    if place is not None:
        findings += _content(repository, file, place)
    return sorted(findings, key=lambda finding: (finding.line, finding.column, finding.rule, finding.message))


def _content(repository: Repository, file: str, place: Place) -> list[Finding]:
    if place.kind == "experiment":
        parsed: Parsed[Any] = repository.experiment(file)
        subject: Subject | Entry[Any] = Subject(repository, parsed, place.tenant_name, place.name)
    else:
        parsed = repository.read(file, FORMATS[place.kind])
        subject = Entry(repository, parsed, place.name, place.tenant_name)
    findings, replaced = [], set()
    for rule in rules_of(place.kind) if parsed.value is not None else ():
        if parsed.usable(*rule.needs):
            found = list(rule.check(subject))
            findings += found
            if rule.supersedes:
                replaced |= {(finding.line, finding.column) for finding in found}
    kept = (f for f in parsed.findings if (f.line, f.column) not in replaced or f.rule == "required-key")
    return [*kept, *findings]


def files(repository: Repository, paths: Iterable[Path]) -> list[str]:
    """The files that `paths` (files or folders) name, or all that people write when there are none; sorted, each once.

    Raises:
        UsageError: a path does not exist, or names a file of no known kind.
    """
    wanted = list(paths) or [repository.root / folder for folder in FOLDERS if (repository.root / folder).is_dir()]
    found: set[str] = set()
    for path in wanted:
        found.update(_below(repository, path))
    return sorted(found)


def _below(repository: Repository, path: Path) -> Iterator[str]:
    if not os.path.lexists(path):
        raise UsageError(f"{path} does not exist")
    file = _relative(repository, path)
    top = file.split("/", 1)[0]
    if path.is_dir() and not path.is_symlink():
        if file == ".":
            for folder in FOLDERS:
                yield from _walk(repository.root, folder)
        elif top in FOLDERS:
            yield from _walk(repository.root, file)
        else:
            raise UsageError(f"{path} holds nothing that people write; that is in {', '.join(FOLDERS)}")
    elif place_of(file) is None and top != "experiments":
        remedy = "; locks are checked by `ft expand --check`" if top == "overlays" else ""
        raise UsageError(f"{path} is no file that `ft validate` knows; it knows YAML in {', '.join(FOLDERS)}{remedy}")
    else:
        yield file


def _relative(repository: Repository, path: Path) -> str:
    """The path below the root; symbolic links on the way are left in, for the reader to refuse."""
    absolute, root = (os.path.abspath(each) for each in (path, repository.root))  # noqa: PTH100 - resolve() follows links
    for base in (root, os.path.realpath(repository.root)):
        if absolute == base or absolute.startswith(base + os.sep):
            return Path(absolute).relative_to(base).as_posix()
    return repository.relative(path)


def _walk(root: Path, folder: str) -> Iterator[str]:
    """Every file below a folder but hidden ones; links are not followed but reported as files."""
    for entry in _scan(root / folder):
        name = f"{folder}/{entry.name}"
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(root, name)
        else:
            yield name


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return list(entries)
