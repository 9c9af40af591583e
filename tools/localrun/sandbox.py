"""A pod's volumes as folders of this machine, and a container's paths rewritten into them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tools.errors import ToolFault
from tools.render.documents import Manifest


@dataclass(frozen=True, slots=True)
class Mount:
    """One volumeMount: a path of the container and the folder that stands for it."""

    path: PurePosixPath
    host: Path


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What one container sees.

    root: a temporary folder that plays the container's `/` for paths above a mount.
    """

    root: Path
    mounts: tuple[Mount, ...]

    def host(self, text: str) -> str:
        """A path of the container as a path of this machine; anything that reaches no mount stays as it is.

        A path above several mounts (`/storage`) is the folder in which they lie as they do in the container, so that
        messages show real paths; where there is none, a folder of links.
        """
        if not text.startswith("/"):
            return text
        path = PurePosixPath(text)
        around = [mount for mount in self.mounts if path == mount.path or mount.path in path.parents]
        if around:
            nearest = max(around, key=lambda mount: len(mount.path.parts))
            return str(nearest.host / path.relative_to(nearest.path))
        below = [mount for mount in self.mounts if path in mount.path.parents]
        if not below:
            return text
        bases = {_base(mount.host, mount.path.relative_to(path)) for mount in below}
        base = bases.pop() if len(bases) == 1 else None
        return str(base or self._linked(path, below))

    def _linked(self, path: PurePosixPath, below: list[Mount]) -> Path:
        for mount in below:
            link = self.root / mount.path.relative_to("/")
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink():
                link.symlink_to(mount.host)
        return self.root / path.relative_to("/")


def build(
    spec: Manifest, *, claims: Mapping[str, Path], configmaps: Mapping[str, Mapping[str, str]], temporary: Path
) -> Sandbox:
    """The sandbox of a pod's only container; emptyDirs and ConfigMap files go below `temporary`, which is private.

    Raises:
        ToolFault: a volume that this machine cannot stand in for.
    """
    volumes = {volume["name"]: volume for volume in spec.get("volumes") or []}
    mounts = []
    for mount in spec["containers"][0].get("volumeMounts") or []:
        volume = volumes[mount["name"]]
        host = _volume(volume, claims, configmaps, temporary / "volumes" / mount["name"]) / mount.get("subPath", "")
        # kubelet, too, makes the folder of a subPath that is not there.
        host.mkdir(parents=True, exist_ok=True)
        mounts.append(Mount(PurePosixPath(mount["mountPath"]), host))
    return Sandbox(temporary / "root", tuple(mounts))


def _volume(
    volume: Manifest, claims: Mapping[str, Path], configmaps: Mapping[str, Mapping[str, str]], scratch: Path
) -> Path:
    if "persistentVolumeClaim" in volume:
        claim = volume["persistentVolumeClaim"]["claimName"]
        if claim not in claims:
            raise ToolFault(f"volume {volume['name']} is of claim {claim}; a local run has {', '.join(claims)}")
        return claims[claim]
    if "configMap" in volume:
        _write(volume["configMap"], configmaps, scratch)
    elif "emptyDir" not in volume and not (volume.get("secret") or {}).get("optional"):
        allowed = "claim, configMap, emptyDir, a Secret that is optional (it is empty here)"
        raise ToolFault(f"volume {volume['name']} cannot be had on this machine; allowed: {allowed}")
    return scratch


def _write(source: Manifest, configmaps: Mapping[str, Mapping[str, str]], folder: Path) -> None:
    data = configmaps[source["name"]]
    items = source.get("items") or [{"key": key, "path": key} for key in data]
    for item in items:
        file = folder / item["path"]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(data[item["key"]], encoding="utf-8")


def _base(host: Path, below: PurePosixPath) -> Path | None:
    """`/x/y` for `/x/y/data` and `data`: the folder that has `host` at `below`."""
    parts = len(below.parts)
    return host.parents[parts - 1] if host.parts[-parts:] == below.parts else None
