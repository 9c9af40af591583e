"""The platform's locks from environments/."""

from __future__ import annotations

from tools.errors import UsageError
from tools.expand import platform
from tools.expand.experiments import Change
from tools.formats.platform_lock import PlatformContent, seal
from tools.repository import Repository


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
    content = PlatformContent(environment=name, git=found.git, kueue=found.kueue)
    return Change(platform.folder(content), platform.files(seal(content)))
