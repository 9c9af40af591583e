"""What has to be looked at again after a change: the changed files and what depends on them.

Everything else was checked when it was merged, by the same tools on the same content. Where that cannot be said (the tools
or their pins changed, an environment changed, no commit to compare with is known) everything is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ci.changed import Changed
from tools.expand.platform import PLATFORM
from tools.expand.tenant import TENANTS
from tools.formats.serving import SERVING
from tools.rules.kinds import FOLDERS

# What decides how files are judged: the tools, what they run on, and what calls them.
_TOOLS = ("tools/", "ci/", "requirements/", "pyproject.toml", "Makefile", ".gitlab-ci.yml")
_READ_BY_ALL = ("environments/", "catalog/gpus.yaml")
_BASES = ("base/",)
_EXPERIMENT_DEPTH = 3  # experiments/<tenant>/<name>.yaml
_OVERLAY_DEPTH = 4  # overlays/<environment>/<tenant>/<name>


@dataclass(frozen=True)
class Scope:
    """What to look at; None stands for all of it.

    files: for `ft validate`. experiments: for `ft plan`. checked: overlays for `ft expand --check`. rendered: overlays for
    `ft render --check`. All are relative to the root, sorted, and exist.
    """

    files: tuple[str, ...] | None
    experiments: tuple[str, ...]
    checked: tuple[str, ...] | None
    rendered: tuple[str, ...] | None


def scope(root: Path, found: Changed | None) -> Scope:
    """What `found` makes necessary; None: nobody knows what changed."""
    if found is None:
        return Scope(None, (), None, None)
    overlays = {folder for folder in map(_overlay, found.paths) if folder and (root / folder).is_dir()}
    checked = overlays | {folder for path in found.paths for folder in _overlays_of(root, path)}
    return Scope(
        None if _touches(found, _TOOLS + _READ_BY_ALL) else _files(root, found),
        tuple(path for path in found.present if _is_experiment(path)),
        None if _touches(found, _TOOLS + _BASES + ("audit/",)) or _administered(found) else tuple(sorted(checked)),
        None if _touches(found, _TOOLS + _BASES) else tuple(sorted(overlays)),
    )


def _touches(found: Changed, prefixes: tuple[str, ...]) -> bool:
    return any(path.startswith(prefixes) for path in found.paths)


def _administered(found: Changed) -> bool:
    """Whether an overlay of a tenant or of the platform itself changed."""
    return any(re.match(rf"overlays/[^/]+/(?:{TENANTS}|{PLATFORM})/", path) for path in found.paths)


def _files(root: Path, found: Changed) -> tuple[str, ...]:
    wanted = {path for path in found.present if path.startswith(tuple(f"{folder}/" for folder in FOLDERS))}
    for path in found.paths:
        wanted |= set(_dependents(root, path))
    return tuple(sorted(wanted))


def _dependents(root: Path, path: str) -> Iterator[str]:
    """Files that read the one at `path`; rather one too many."""
    match path.split("/"):
        case ["tenants", tenant, "tenant.yaml"]:
            yield from _below(root, "tenants/*/tenant.yaml")  # namespaces and UIDs belong to one tenant each
            yield from _below(root, f"tenants/{tenant}/datasets/*.yaml")
            yield from _below(root, f"experiments/{tenant}/*.yaml")
        case ["tenants", tenant, "datasets", file]:
            yield from _naming(_below(root, f"experiments/{tenant}/*.yaml"), root, file.removesuffix(".yaml"))
        case ["catalog", "models", file]:
            name = file.removesuffix(".yaml")
            yield from _naming(_below(root, "experiments/*/*.yaml"), root, name)
            yield from _naming(_below(root, "tenants/**/*.yaml"), root, name)
        case ["recalls", tenant, _]:
            yield from _below(root, "serving/*/*/*.yaml")  # another tenant's model may be built on this one's
            yield from _below(root, f"experiments/{tenant}/*.yaml")
        case ["overlays", _, tenant, name, *_] if tenant != SERVING:
            yield from _below(root, f"experiments/{tenant}/{name}.yaml")


def _below(root: Path, pattern: str) -> list[str]:
    return [path.relative_to(root).as_posix() for path in root.glob(pattern)]


def _naming(files: Iterable[str], root: Path, name: str) -> Iterator[str]:
    """Those of `files` in which `name` stands as a word."""
    word = re.compile(rf"(?<![\w.-]){re.escape(name)}(?![\w-])".encode())
    for file in files:
        path = root / file
        if path.is_symlink() or (path.is_file() and word.search(path.read_bytes())):
            yield file


def _overlays_of(root: Path, path: str) -> Iterator[str]:
    """Overlay folders of the experiment at `path`."""
    if _is_experiment(path):
        _, tenant, file = path.split("/")
        for lock in root.glob(f"overlays/*/{tenant}/{file.removesuffix('.yaml')}/run.yaml"):
            yield lock.parent.relative_to(root).as_posix()


def _is_experiment(path: str) -> bool:
    parts = path.split("/")
    return parts[0] == "experiments" and len(parts) == _EXPERIMENT_DEPTH and path.endswith(".yaml")


def _overlay(path: str) -> str | None:
    """The overlay folder that a path lies in; the platform's has one level less."""
    parts = path.split("/")
    if parts[2:3] == [SERVING]:  # a component, which builds with the serving team's Deployment alone
        return None
    if parts[0] != "overlays" or len(parts) <= _OVERLAY_DEPTH - (parts[2:3] == [PLATFORM]):
        return None
    return "/".join(parts[: _OVERLAY_DEPTH - (parts[2] == PLATFORM)])
