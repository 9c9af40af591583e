"""Decides what one experiment's overlay becomes: made, kept up to date, removed, or refused with a finding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tools.expand import locks, overlay
from tools.findings import Finding
from tools.formats.experiment import Experiment
from tools.formats.lock import Lock
from tools.formats.parse import Parsed
from tools.repository import Repository
from tools.resolve import resolve


@dataclass(frozen=True, slots=True)
class Change:
    """What a folder is to hold; `files` is None when the folder is to go."""

    folder: str
    files: dict[str, bytes] | None


def change(repository: Repository, file: str) -> Change | Finding | None:
    """What has to happen to the overlay of the experiment in `file`, in which `ft validate` finds nothing; None: nothing.

    An existing lock keeps everything that was resolved when it was made (image, base, settings, authorization): only
    `attempt` follows the experiment.

    Raises:
        UsageError: the experiment cannot be resolved.
    """
    parsed = repository.experiment(file)
    assert parsed.value is not None
    tenant_name, name = file.split("/")[1], file.split("/")[2].removesuffix(".yaml")
    folders = locks.of_experiment(repository, tenant_name, name)
    if parsed.value.state == "cancelled":
        return Change(folders[0], None) if folders else None
    if not folders:
        lock = resolve(repository, tenant_name, name, parsed)
        return Change(overlay.folder(lock.run), overlay.files(lock))
    return _follow(repository, folders[0], parsed)


def _follow(repository: Repository, folder: str, parsed: Parsed[Experiment]) -> Change | Finding:
    locked = locks.read(repository, folder)
    if locked.findings or locked.value is None:
        return locked.findings[0]
    assert parsed.value is not None
    lock = locked.value.model_copy(update={"attempt": parsed.value.attempt})
    return Change(folder, overlay.files(lock))


def differences(experiment: Experiment, lock: Lock) -> list[str]:
    """Keys in which an experiment says something else than its lock, `state` and `attempt` aside; defaults are filled in.

    Raises:
        ValidationError: the lock's experiment is none.
    """
    written, locked = _content(experiment), _content(Experiment.model_validate(lock.run.experiment))
    return [key for key in written if written[key] != locked[key]]


def _content(experiment: Experiment) -> dict[str, Any]:
    return experiment.model_dump(mode="json", exclude={"state", "attempt"})
