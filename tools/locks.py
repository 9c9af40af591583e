"""What the locks under overlays/ say about runs that exist, read fast: thousands of them stand beside each experiment.

A lock is generated, so its shape is known (`tools/formats/lock.py`); only the lines that the rules need are looked at.
`ft expand --check` compares every lock completely.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from tools import audits
from tools.audits import Spent, spent
from tools.expand.yamltext import dump
from tools.yamlsource import parse
from tools.yamlsource.document import Refused
from tools.yamlsource.files import read

_RUN_ID = re.compile(r"^run_id: ([a-z0-9-]+)$", re.MULTILINE)
_STATE = re.compile(r"^state: (active|cancelled)$", re.MULTILINE)
_ATTEMPT = re.compile(r"^attempt: ([1-9][0-9]*)$", re.MULTILINE)
_AUTHORIZED_AT = re.compile(r"^authorized:\n(?:  .*\n)*?  at: ['\"]?([0-9]{4}-[0-9]{2})", re.MULTILINE)
_EXPERIMENT = re.compile(r"^  experiment:\n((?:(?:    .*)?\n)+)", re.MULTILINE)
_RESOURCES = re.compile(r"^  resources:\n((?:    .*\n)+)", re.MULTILINE)
_RESOURCE = re.compile(r"^    (gpus|nodes|time_limit_seconds): ([0-9]+)$", re.MULTILINE)
_EVALUATION = re.compile(r"^  evaluation:\n(?:    .*\n)*?    time_limit_seconds: ([0-9]+)$", re.MULTILINE)
_INSIDE = "    "
_HOUR = 3600


@dataclass(frozen=True, slots=True)
class LockFile:
    """The text of one lock. Its parts are None where the text is not what `ft expand` writes."""

    file: str
    environment: str
    text: str

    @property
    def run_id(self) -> str | None:
        """The run's name in the cluster."""
        match = _RUN_ID.search(self.text)
        return match[1] if match else None

    @property
    def state(self) -> str | None:
        """`active` or `cancelled`."""
        match = _STATE.search(self.text)
        return match[1] if match else None

    @property
    def attempt(self) -> int | None:
        """The attempt that the overlay runs."""
        match = _ATTEMPT.search(self.text)
        return int(match[1]) if match else None

    def holds(self, experiment: dict[str, Any]) -> bool:
        """Whether the lock's experiment is written exactly as `ft expand` writes this one: a fast yes, or a maybe not."""
        match = _EXPERIMENT.search(self.text)
        try:
            lines = dump(experiment).splitlines(keepends=True)
        except ValueError:  # a number that is not finite, which the rule `train-value` refuses
            return False
        return match is not None and match[1] == "".join(_INSIDE + line for line in lines)

    @property
    def experiment(self) -> dict[str, Any] | None:
        """The experiment as it was when it was locked, without state and attempt."""
        match = _EXPERIMENT.search(self.text)
        data = parse(f"experiment:\n{match[1]}", self.file).data if match else None
        inner = data.get("experiment") if isinstance(data, dict) else None
        return inner if isinstance(inner, dict) else None

    @property
    def gpu_hours(self) -> float:
        """Time limit x GPUs x nodes, and the evaluation's time limit on one GPU, in hours."""
        match, evaluated = _RESOURCES.search(self.text), _EVALUATION.search(self.text)
        numbers = {name: int(digits) for name, digits in _RESOURCE.findall(match[1])} if match else {}
        gpus, limit = numbers.get("gpus", 0), numbers.get("time_limit_seconds", 0)
        scoring = int(evaluated[1]) if evaluated and gpus else 0
        return (gpus * numbers.get("nodes", 1) * limit + scoring) / _HOUR

    def counts_in(self, month: str) -> bool:
        """Whether the run belongs to a month (`2026-11`, UTC): authorized in it, or not authorized yet."""
        match = _AUTHORIZED_AT.search(self.text)
        return match is None or match[1] == month


@dataclass
class Locks:
    """All locks of a repository; what they count for is kept, texts are not."""

    root: Path
    month: str = field(default_factory=lambda: datetime.now(UTC).strftime("%Y-%m"))
    _spent: dict[tuple[str, str], list[Spent]] = field(default_factory=dict, repr=False)
    _audited: dict[tuple[str, str], dict[str, list[Path]]] = field(default_factory=dict, repr=False)
    # Several rules ask for the same experiment's locks one after the other.
    _latest: tuple[tuple[str, str], list[LockFile]] = field(default=(("", ""), []), repr=False)

    @cached_property
    def environments(self) -> list[str]:
        """Names of the folders in overlays/."""
        return sorted(path.name for path in (self.root / "overlays").glob("*") if path.is_dir())

    def of(self, tenant: str, name: str) -> list[LockFile]:
        """The locks of one experiment: none before it is authorized, else one.

        Raises:
            Refused: one cannot be read.
        """
        if self._latest[0] != (tenant, name):
            found = [lock for environment in self.environments for lock in self._read(environment, tenant, name)]
            self._latest = ((tenant, name), found)
        return self._latest[1]

    def authorized(self, environment: str, tenant: str, name: str) -> set[str]:
        """SHA-256 of the experiment's file at each authorization that audit/ knows."""
        place = (environment, tenant)
        if place not in self._audited:
            self._audited[place] = audits.files(self.root, environment, tenant)
        return audits.authorized(self._audited[place].get(name, ()))

    def taken(self, tenant: str) -> set[str]:
        """Names of the tenant's experiments that have a lock in any environment."""
        folders = (self.root / "overlays" / environment / tenant for environment in self.environments)
        return {path.name for folder in folders for path in folder.glob("[!.]*")}

    def spent(self, environment: str, tenant: str) -> list[Spent]:
        """What the tenant's runs in an environment take of this month's GPU-hours.

        An audit record speaks for its run, with measured hours where there are any; a run without one counts by its lock.
        """
        key = (environment, tenant)
        if key not in self._spent:
            recorded = list(spent(self.root, environment, tenant))
            known = {entry.run_id for entry in recorded}
            unrecorded = [
                Spent(lock.run_id or lock.file, lock.attempt or 1, self.month, lock.gpu_hours)
                for lock in self._all(*key)
                if lock.run_id not in known and lock.counts_in(self.month)
            ]
            self._spent[key] = [entry for entry in recorded if entry.month == self.month] + unrecorded
        return self._spent[key]

    def gpu_hours(self, environment: str, tenant: str) -> float:
        """GPU-hours of the tenant's runs in an environment that belong to this month."""
        return sum(entry.hours for entry in self.spent(environment, tenant))

    def _all(self, environment: str, tenant: str) -> Iterator[LockFile]:
        folder = self.root / "overlays" / environment / tenant
        for path in folder.glob("[!.]*"):
            try:
                yield from self._read(environment, tenant, path.name)
            except Refused:  # the rule `immutable` reports it at its experiment
                continue

    def _read(self, environment: str, tenant: str, name: str) -> list[LockFile]:
        file = f"overlays/{environment}/{tenant}/{name}/run.yaml"
        path = f"{self.root}/{file}"
        return [LockFile(file, environment, read(Path(path), file))] if os.path.lexists(path) else []
