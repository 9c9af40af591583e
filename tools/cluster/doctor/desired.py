"""What should be in a cluster: the overlays of the platform and of its tenants, rendered by kustomize."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from tools.cluster.doctor.site import Wanted
from tools.errors import ToolFault, UsageError
from tools.expand import locks
from tools.expand.platform import PLATFORM
from tools.render.kustomize import Kustomize
from tools.repository import Repository


def wanted(repository: Repository, environment: str) -> list[Wanted]:
    """Every object of overlays/<env>/_platform and _tenants.

    Raises:
        UsageError: the platform's overlay is not in this checkout.
        ToolFault: kustomize is missing, or refuses an overlay.
    """
    platform = f"{locks.OVERLAYS}/{environment}/{PLATFORM}"
    if not (repository.root / platform).is_dir():
        raise UsageError(f"{platform} is not in this checkout; `git pull`, or `ft expand --platform` writes it")
    kustomize = Kustomize.find()
    return [
        item for folder in (platform, *tenants(repository, environment)) for item in _of(kustomize, repository, folder)
    ]


def tenants(repository: Repository, environment: str) -> list[str]:
    """Overlay folders of the environment's tenants."""
    return [folder for folder in locks.tenants(repository) if folder.split("/")[1] == environment]


def _of(kustomize: Kustomize, repository: Repository, folder: str) -> Iterator[Wanted]:
    for built in kustomize.build(repository.root, [folder]):
        if built.fault is not None:
            raise ToolFault(f"{folder} does not render: {built.fault}; `ft render {folder} --check`")
        for manifest in yaml.load_all(built.manifests, yaml.CSafeLoader):
            if manifest:
                yield Wanted(manifest, folder)
