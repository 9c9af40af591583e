"""Where overlays lie, and the locks in them."""

from __future__ import annotations

import os
from pathlib import Path

from tools.errors import UsageError
from tools.expand import overlay, platform, tenant
from tools.formats.lock import Lock
from tools.formats.parse import Parsed, parse
from tools.formats.serving import SERVING
from tools.repository import Repository

OVERLAYS = "overlays"
_DEPTH = 4
_EXAMPLE = "overlays/dev/team-a/exp-001"


def of_experiment(repository: Repository, tenant_name: str, name: str) -> list[str]:
    """Overlay folders of one experiment, over all environments: none, or one where all is well."""
    found = (f"{OVERLAYS}/{environment}/{tenant_name}/{name}" for environment in repository.locks.environments)
    root = os.fspath(repository.root)
    return [folder for folder in found if os.path.isfile(f"{root}/{folder}/{overlay.LOCK_FILE}")]  # noqa: PTH113 - fast


def environments(repository: Repository) -> list[str]:
    """Folders `overlays/<env>`, sorted."""
    return sorted(f"{OVERLAYS}/{path.name}" for path in folders(repository.root / OVERLAYS))


def runs(repository: Repository) -> list[str]:
    """Overlay folders of all experiments, sorted."""
    return [
        f"{environment}/{tenant_folder.name}/{path.name}"
        for environment in environments(repository)
        for tenant_folder in folders(repository.root / environment)
        if tenant_folder.name not in (tenant.TENANTS, SERVING)
        for path in folders(tenant_folder)
    ]


def tenants(repository: Repository) -> list[str]:
    """Overlay folders of all tenants, sorted."""
    return [
        f"{environment}/{tenant.TENANTS}/{path.name}"
        for environment in environments(repository)
        for path in folders(repository.root / environment / tenant.TENANTS)
    ]


def platforms(repository: Repository) -> list[str]:
    """Overlay folders of the platform itself, sorted."""
    found = (f"{environment}/{platform.PLATFORM}" for environment in environments(repository))
    return [folder for folder in found if (repository.root / folder).is_dir()]


def overlay_at(repository: Repository, path: Path) -> str:
    """The overlay folder that a person names, relative to the root.

    Raises:
        UsageError: it is none.
    """
    folder = repository.relative(path)
    lock_file = tenant.LOCK_FILE if f"/{tenant.TENANTS}/" in folder else overlay.LOCK_FILE
    if len(folder.split("/")) != _DEPTH or not (repository.root / folder / lock_file).is_file():
        raise UsageError(f"{path} is no overlay; name a folder that holds {lock_file}, for instance {_EXAMPLE}")
    return folder


def read(repository: Repository, folder: str) -> Parsed[Lock]:
    """The lock in an overlay folder; not kept, as there may be ten thousand."""
    return parse(Lock, repository.document(f"{folder}/{overlay.LOCK_FILE}"))


def by_run_id(repository: Repository, run_id: str) -> tuple[str, Lock]:
    """Overlay folder and lock of a run.

    Raises:
        UsageError: no overlay has that run id.
    """
    name = run_id.rpartition("-")[0]
    known = []
    for folder in runs(repository):
        lock = read(repository, folder).value if folder.endswith(f"/{name}") else None
        if lock is not None and lock.run_id == run_id:
            return folder, lock
        known += [lock.run_id] if lock is not None else []
    hint = f"runs of {name} here: {', '.join(known)}" if known else "each overlays/*/*/*/run.yaml names its own"
    raise UsageError(f"no overlay has the run id {run_id!r}; {hint}")


def folders(parent: Path) -> list[Path]:
    """Real folders inside `parent`, sorted by name; hidden ones are somebody's temporary work."""
    if not parent.is_dir():
        return []
    children = (path for path in parent.iterdir() if not path.name.startswith("."))
    return sorted(path for path in children if path.is_dir() and not path.is_symlink())
