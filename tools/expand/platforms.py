"""The platform's locks from environments/, where its overlays lie, and whether those are what their locks give."""

from __future__ import annotations

from tools.errors import UsageError
from tools.expand import locks, platform
from tools.expand.experiments import Change
from tools.findings import Finding
from tools.formats.parse import parse
from tools.formats.platform_lock import PlatformContent, PlatformLock, digest, seal
from tools.repository import Repository

_REMEDY = "restore it from git; only the bot writes here"


def changes(repository: Repository, environment: str | None) -> list[Change]:
    """What the platform's overlay is to hold in every environment, or in the one given.

    Raises:
        UsageError: an environment is missing or invalid.
    """
    names = [name for name in repository.names("environments") if name != "platform"]
    return [_change(repository, name) for name in names if environment in (None, name)]


def _change(repository: Repository, name: str) -> Change:
    found = repository.environment(name)
    if found is None:
        raise UsageError(
            f"the platform cannot be expanded: environments/{name}.yaml is not valid;"
            f" run `ft validate environments/{name}.yaml`"
        )
    content = PlatformContent(environment=name, git=found.git, node_selector=found.node_selector, kueue=found.kueue)
    return Change(platform.folder(content), platform.files(seal(content)))


def folders(repository: Repository) -> list[str]:
    """Overlay folders of the platform itself, sorted."""
    found = (f"{environment}/{platform.PLATFORM}" for environment in locks.environments(repository))
    return [folder for folder in found if (repository.root / folder).is_dir()]


def expected(repository: Repository, folder: str) -> dict[str, bytes] | list[Finding]:
    """The files that the lock in a folder gives, or why it is none that `ft expand` made."""
    parsed = parse(PlatformLock, repository.document(f"{folder}/{platform.LOCK_FILE}"))
    lock = parsed.value
    if lock is None or parsed.findings:
        return parsed.findings
    if lock.sha256 != digest(lock.content):
        found = "sha256 is not that of `content`"
        return [parsed.document.finding(("sha256",), "expand-hash", found, "a lock as `ft expand` made it", _REMEDY)]
    if platform.folder(lock.content) != folder:
        found = f"the lock belongs to {platform.folder(lock.content)}"
        place = ("content", "environment")
        return [parsed.document.finding(place, "expand-path", found, "each lock in its own folder", _REMEDY)]
    return platform.files(lock)
