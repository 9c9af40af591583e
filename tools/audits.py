"""What audit records say about runs, read fast: thousands of them stand beside each experiment, and they outlive the overlays.

A record is generated, so its shape is known (`tools/formats/audit.py`); only the lines that count are looked at.
`ft expand --check` compares every record completely.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from tools.yamlsource.document import Refused
from tools.yamlsource.files import read

_FILE = re.compile(r"([^.].*)-.{8}\.yaml\Z", re.DOTALL)
_EXPERIMENT = re.compile(r"^  experiment: \"?([0-9a-f]{64})\"?$", re.MULTILINE)
_LIMIT = re.compile(r"^  gpu_hours_limit: ([0-9.e+-]+)$", re.MULTILINE)
_ATTEMPT = re.compile(r"^  - attempt: ([1-9][0-9]*)\n", re.MULTILINE)
_AUTHORIZED_AT = re.compile(r"^      at: ['\"]?([0-9]{4}-[0-9]{2})", re.MULTILINE)
_MEASURED = re.compile(r"^        gpu_hours: ([0-9.e+-]+)$", re.MULTILINE)


class Spent(NamedTuple):
    """GPU-hours of one attempt: measured once it is over, until then those that it may use at most."""

    run_id: str
    attempt: int
    month: str
    hours: float


def spent(root: Path, environment: str, tenant: str) -> Iterator[Spent]:
    """Every recorded attempt of a tenant's runs in an environment; what cannot be read is `ft expand --check`'s matter."""
    for path in (root / "audit" / environment / tenant).glob("[!.]*.yaml"):
        try:
            yield from _of(path.stem, read(path, path.name))
        except (Refused, ValueError):
            continue


def files(root: Path, environment: str, tenant: str) -> dict[str, list[Path]]:
    """A tenant's records in an environment by the experiment's name: one look into the folder serves thousands of questions."""
    folder = root / "audit" / environment / tenant
    found: dict[str, list[Path]] = {}
    for entry in sorted(os.listdir(folder)) if folder.is_dir() else ():  # noqa: PTH208 - names alone, of thousands
        if match := _FILE.match(entry):
            found.setdefault(match[1], []).append(folder / entry)
    return found


def authorized(records: Iterable[Path]) -> set[str]:
    """SHA-256 of an experiment's file at each authorization of a run; `records` are those of its name, of retired runs too."""
    found = set()
    for path in records:
        try:
            match = _EXPERIMENT.search(read(path, path.name))
        except Refused:
            continue
        found |= {match[1]} if match else set()
    return found


def _of(run_id: str, text: str) -> Iterator[Spent]:
    limit = _LIMIT.search(text)
    _, *parts = _ATTEMPT.split(text)
    for number, part in zip(parts[::2], parts[1::2], strict=True):
        month, measured = _AUTHORIZED_AT.search(part), _MEASURED.search(part)
        hours = measured or limit
        if month is not None and hours is not None:
            yield Spent(run_id, int(number), month[1], float(hours[1]))
