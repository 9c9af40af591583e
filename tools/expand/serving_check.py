"""What `ft expand --check` demands of a served model's overlay besides its bytes."""

from __future__ import annotations

from pathlib import Path

from tools.expand import locks, promotions, serving
from tools.findings import Finding
from tools.formats.digest import digest
from tools.formats.serving import SERVING
from tools.formats.serving_lock import ServingLock
from tools.repository import Repository

_REMEDY = "restore it from git; only the bot writes here"


def check(repository: Repository, folder: str) -> tuple[list[Finding], ServingLock | None]:
    """Faults of the lock; and the lock, where what follows from it can be compared."""
    parsed = serving.read(repository, folder)
    lock, document = parsed.value, parsed.document
    if lock is None or parsed.findings:
        return parsed.findings, None
    if lock.sha256 != digest(lock.content):
        found = "sha256 is not that of `content`"
        return [document.finding(("sha256",), "expand-hash", found, "a lock as `ft expand` made it", _REMEDY)], None
    if serving.folder(lock.content) != folder:
        found = f"the lock belongs to {serving.folder(lock.content)}"
        place = ("content", "model_name")
        return [document.finding(place, "expand-path", found, "each lock in its own folder", _REMEDY)], None
    return list(promotions.accounted(repository, parsed, lock)), lock


def strangers(repository: Repository) -> list[Path]:
    """Whatever lies beside the overlays of served models."""
    found = []
    for environment in locks.environments(repository):
        for tenant in locks.folders(repository.root / environment / SERVING):
            known = {path.name for path in locks.folders(tenant)}
            found += [path for path in sorted(tenant.iterdir()) if path.name not in known]
    return found
