"""Experiments that were authorized do not change: what a merge removed or rewrote is put back as it was deployed.

Otherwise no tree would pass `ft expand --check` any more, and one tenant's revert would hold up everybody's runs. The run goes
on as it was approved; `state: cancelled` is the way to stop it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import ValidationError

from tools.bot.authorize.history import Landing
from tools.expand import locks
from tools.expand.experiments import differences
from tools.formats.lock import Lock
from tools.repository import Repository
from tools.rules.kinds import place_of

if TYPE_CHECKING:
    from tools.bot.mirror import Mirror


def restored(mirror: Mirror, repository: Repository, landed: Sequence[Landing]) -> dict[str, bytes | None]:
    """Path -> content of the experiments to put back. repository: what main holds after `landed`."""
    found: dict[str, bytes | None] = {}
    for path in {path: None for landing in landed for path in landing.changed}:
        place = place_of(path)
        if place is None or place.kind != "experiment":
            continue
        for folder in locks.of_experiment(repository, place.tenant_name, place.name):
            lock = locks.read(repository, folder).value
            content = mirror.file(mirror.tip(f"deployed/{folder.split('/')[1]}") or landed[0].before, path)
            if lock is not None and content is not None and not _holds(repository, path, lock):
                found[path] = content
    return found


def reason(path: str) -> str:
    """What to tell about an experiment that was put back."""
    place = place_of(path)
    assert place is not None
    return (
        f"{path} belongs to an authorized run, which goes on, so the bot put the file back: to stop the run, set"
        f" `state: cancelled` (`ft cancel` writes it); for a new idea, copy it to a file with a new name"
    )


def _holds(repository: Repository, path: str, lock: Lock) -> bool:
    """Whether the file still says what was authorized."""
    if not (repository.root / path).is_file():
        return False
    parsed = repository.experiment(path)
    if parsed.value is None or parsed.findings:
        return False
    try:
        return not differences(parsed.value, lock)
    except ValidationError:
        return True  # the lock is the broken one, as the check over the tree says
