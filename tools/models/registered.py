"""A model that the platform trained, taken up as a base model: checked against its publication record and the registry."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tools.errors import ToolFault, UsageError
from tools.formats.model import Model, Source
from tools.models import folder, registry
from tools.repository import Repository

RECORD = "publication.json"


class Registered(NamedTuple):
    """Where the published folder lies, the hashes of its files, what it is, and the model that it was made from."""

    folder: Path
    files: Mapping[str, str]
    source: Source
    base: Model
    base_name: str


def find(repository: Repository, storage: Path, uri: str, wanted: str) -> Registered:
    """The model `NAME@ALIAS` of the registry, as it lies on the storage.

    Raises:
        UsageError: it is not registered, not there, or not what the registry says.
    """
    name, sign, alias = wanted.rpartition("@")
    if not sign or not name or not alias:
        raise UsageError(
            f"--from-registry {wanted!r}; allowed: NAME@ALIAS, for instance team-a.support-assistant@candidate"
        )
    version = registry.by_alias(uri, name, alias)
    place = storage / registry.folder_of(version)
    if not place.is_dir():
        raise UsageError(f"{place} is not there; mount the tenant's storage at --storage, {name} lies on it")
    tags, files = _verified(place, version)
    base_name = str(tags.get("base_model"))
    base = repository.model(base_name)
    if base is None:
        raise UsageError(f"{place} was made from {base_name!r}, which catalog/models/ lacks; add that model first")
    revision = f"version {version.number}, run {tags.get('run_id')}"
    return Registered(place, files, Source(repository=f"registry:{name}", revision=revision), base, base_name)


def refuse_other(model: Model, found: Registered, place: Path) -> None:
    """Raise a UsageError unless the entry of the folder `place` has the published files."""
    for name, sha256 in found.files.items():
        if name not in model.files or model.files[name].sha256 != sha256:
            raise UsageError(
                f"{place / name} is not the published file of {found.folder}; give another --path with --copy"
            )


def _verified(place: Path, version: registry.Version) -> tuple[dict[str, Any], dict[str, str]]:
    """The publication's tags and hashes; folder, record and registry must agree."""
    file = place / RECORD
    try:
        record = json.loads(file.read_bytes())
        tags, listed, run = record["tags"], record["files"], record["run_sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{file} is no publication record: {error}; run `ft publish` for that run again") from error
    if run != version.tags.get("run_sha256"):
        raise UsageError(
            f"{file} is of the run {run}, the registry's version of {version.tags.get('run_sha256')}; publish again"
        )
    names = sorted(listed)
    missing = [name for name in names if not (place / name).is_file()]
    wrong = missing or [
        name for name, found in folder.hashed(place, names).items() if found.model_dump() != listed[name]
    ]
    if wrong:
        raise UsageError(f"{place / wrong[0]} is not the file that was published; restore it, then run this again")
    return dict(tags), {name: listed[name]["sha256"] for name in names}


def place_copy(source: Path, target: Path) -> None:
    """Put the files of `source` at `target` in one step: hard links where the file system allows, else copies.

    Raises:
        UsageError: there is something at `target` already.
        ToolFault: the disk refuses; nothing is at `target`.
    """
    if target.exists():
        raise UsageError(f"{target} exists; choose another --path")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".adding-", dir=target.parent) as holder:
            staged = Path(holder) / target.name
            shutil.copytree(source, staged, copy_function=_link_or_copy)
            staged.chmod(0o755)
            staged.rename(target)
    except OSError as error:
        raise ToolFault(f"{target} cannot be written: {error}; free the disk or the permissions") from error


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
