"""An experiment that has an overlay does not change, `state` and `attempt` aside.

The approval was for what the file said then, and its results are recorded under its name. A new idea is a new file.

Fails:

    train:
      learning_rate: 2.0e-4     # was 1.0e-4 when it was authorized

Passes: the same change in `experiments/team-a/exp-003.yaml`, a copy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from tools.findings import Finding, quote
from tools.formats.experiment import Experiment
from tools.locks import LockFile
from tools.rules.subject import Subject
from tools.yamlsource import Location
from tools.yamlsource.document import Refused

ID = "immutable"
KIND = "experiment"
NEEDS: tuple[str, ...] = ()
_FREE = ("state", "attempt")
_NUMBER = re.compile(r"(.*?)([0-9]+)")


def check(subject: Subject) -> Iterator[Finding]:
    """Compare the experiment with its locks."""
    try:
        locks = subject.repository.locks.of(subject.tenant_name, subject.name)
    except Refused as refused:
        yield _unreadable(subject, refused.finding.file)
        return
    for lock in locks:
        yield from _compare(subject, lock)


def _compare(subject: Subject, lock: LockFile) -> Iterator[Finding]:
    if not subject.parsed.unusable:
        written = subject.experiment.model_dump(mode="json", exclude=set(_FREE), exclude_unset=True)
        if lock.holds(written):
            return
    try:
        locked = Experiment.model_validate({"version": 1, **(lock.experiment or {})})
    except ValidationError:
        yield _unreadable(subject, lock.file)
        return
    now = _flat(subject.experiment)
    before = _flat(locked)
    changed = [place for place in {**before, **now} if now.get(place) != before.get(place) and _judged(subject, place)]
    if changed:
        keys = subject.parsed.document.keys
        first = min((_written(place, keys) for place in changed), key=lambda place: keys.get(place, (0, 0)))
        names = ", ".join(".".join(map(str, place)) for place in changed)
        copy = f"experiments/{subject.tenant_name}/{next_free_name(subject)}.yaml"
        yield subject.parsed.document.finding(
            first,
            ID,
            f"{names} changed after {quote(subject.name)} was authorized ({lock.file})",
            f"changes of {' and '.join(_FREE)}",
            f"copy it to {copy} and undo the change here",
            key=True,
        )


def _flat(experiment: Experiment) -> Mapping[Location, Any]:
    """Field by field, with mappings opened: what can differ at a place of its own."""
    flat: dict[Location, Any] = {}
    for name in Experiment.model_fields:
        value = getattr(experiment, name)
        if name in _FREE:
            continue
        if name in ("train", "resources"):
            inner = value if isinstance(value, dict) else dict(value or {})
            flat |= {(name, key): item for key, item in inner.items()}
        else:
            flat[(name,)] = value
    return flat


def _written(place: Location, keys: Mapping[Location, object]) -> Location:
    """The place itself, or what is left of its surroundings when the key was removed."""
    while place and place not in keys:
        place = place[:-1]
    return place


def _judged(subject: Subject, place: Location) -> bool:
    """A faulty value is not called a change as well."""
    if not subject.parsed.usable(".".join(map(str, place[:2]))):
        return False
    key = str(place[-1])
    return place[0] != "train" or key not in subject.experiment.train or key in subject.train


def _unreadable(subject: Subject, file: str) -> Finding:
    return subject.parsed.document.finding(
        (), ID, f"its lock {file} cannot be read", "a lock as `ft expand` writes it", "run `ft expand --check`"
    )


def next_free_name(subject: Subject) -> str:
    """The name counted on from the experiment's own (exp-002 -> exp-003) that neither a file nor a lock has."""
    folder = subject.repository.root / "experiments" / subject.tenant_name
    taken = {path.stem for path in folder.glob("*")} | subject.repository.locks.taken(subject.tenant_name)
    match = _NUMBER.fullmatch(subject.name)
    stem, digits = (match[1], match[2]) if match else (f"{subject.name}-", "1")
    number = int(digits) + 1
    while (name := f"{stem}{number:0{len(digits)}d}") in taken:
        number += 1
    return name
