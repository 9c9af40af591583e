"""Tokenised rows kept on the storage, so that the next start over the same data does not tokenise them again.

`output/tokenised/<key>/` holds what LLaMA Factory's own `tokenized_path` wrote and loads, and a manifest with the hash of each
file. The key is the hash of everything that decides the rows: data, template, tokenizer, cutoff and the packages' versions. A
folder appears by one rename, so of two writers one wins and the other throws its own away; a damaged one is moved aside and made
again. Nothing here ever fails a run: rows that cannot be kept or read are tokenised.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from runner.events import emit, message
from runner.hashing import faults, names_in, record, sync_tree
from runner.ranks import world
from runner.records import Damaged, Record, read
from runner.sizes import WEIGHTS
from runner.storage import Paths
from tools.formats.base import Sha256
from tools.formats.lock import Lock
from tools.formats.model import File
from tools.llamafactory.table import arguments

MANIFEST, ROWS = "manifest.json", "rows"
UNUSED_DAYS = 14  # then a cache is removed, when another is written
_DAY = 86_400
_GROUPS = {"DataArguments", "BaseModelArguments", "ProcessorArguments"}
_OTHERS = {"stage", "seed", "do_train", "do_eval", "do_predict", "predict_with_generate"}
_NOT = {
    "disable_gradient_checkpointing",
    "enable_liger_kernel",
    "flash_attn",
    "preprocessing_num_workers",
}  # how fast, not what
_PACKAGES = ("llamafactory", "transformers", "tokenizers", "datasets")


class Manifest(Record):
    """What manifest.json holds. files: below `rows`."""

    key: Sha256
    files: dict[str, File]


@dataclass(frozen=True, slots=True)
class Cache:
    """What this start does: `path` for LLaMA Factory's `tokenized_path`, None without; `new` where it is to be kept afterwards."""

    path: Path | None
    new: bool


def folder(paths: Paths) -> Path:
    """Where all tokenised rows of the tenant lie."""
    return paths.storage / "output" / "tokenised"


def key(lock: Lock) -> str:
    """Hash of what decides the tokenised rows."""
    run, table = lock.run, arguments()
    settings = {
        name: found
        for name, found in run.settings.items()
        if name in _OTHERS or (name in table and table[name].group in _GROUPS and name not in _NOT)
    }
    fields = {
        "settings": settings,
        "datasets": [dataset.model_dump(mode="json", exclude={"path"}) for dataset in run.datasets],
        "tokenizer": {name: file.sha256 for name, file in run.model.files.items() if not name.endswith(WEIGHTS)},
        "packages": {name: version(name) for name in _PACKAGES},
    }
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def cache(paths: Paths, scratch: Path) -> Cache:
    """What the storage has, verified; else a place in `scratch` for what LLaMA Factory makes. Ranks do what the first one found."""
    if paths.lock.run.settings.get("streaming"):
        return Cache(None, new=False)
    if not world.is_worker():
        found = _verified(paths)
        return Cache(found, new=False) if found is not None else Cache(scratch / "tokenised", new=True)
    from runner.ranks import gang

    own = gang.mine()
    if own.first:
        found = _verified(paths)
        own.tell("tokenised", str(found or ""))
        return Cache(found, new=False) if found is not None else Cache(scratch / "tokenised", new=True)
    told = own.ask("tokenised")
    return Cache(Path(told) if told else None, new=False)


def keep(paths: Paths, made: Path) -> None:
    """Copy what LLaMA Factory wrote to the storage, whole or not at all, and remove what nobody used for long."""
    place = folder(paths)
    name = key(paths.lock)
    with _harmless(place):
        place.mkdir(parents=True, exist_ok=True)
        _prune(place)
        temporary = place / f".{name}-{uuid.uuid4().hex}"
        try:
            shutil.copytree(made, temporary / ROWS)
            Manifest(key=name, files=record(temporary / ROWS, names_in(made))).write(temporary / MANIFEST)
            sync_tree(temporary)
            if not (place / name).exists():
                temporary.rename(place / name)
                emit("tokenised", path=str(place / name), found=False)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _verified(paths: Paths) -> Path | None:
    """The rows of this run, if every file is as it was written."""
    place = folder(paths) / key(paths.lock)
    with _harmless(place):
        if not place.exists():
            return None
        wrong = _wrong(place)
        if not wrong:
            os.utime(place / MANIFEST)
            emit("tokenised", path=str(place), found=True)
            return place / ROWS
        message(f"{place}: {wrong}; the rows are tokenised again")
        _remove(place)
    return None


def _wrong(place: Path) -> str | None:
    try:
        manifest = read(Manifest, place / MANIFEST)
    except (Damaged, FileNotFoundError) as error:
        return str(error)
    if manifest.key != place.name or names_in(place / ROWS) != sorted(manifest.files):
        return "other files than its manifest lists"
    return next(iter(faults(place / ROWS, manifest.files)), None)


def _prune(place: Path) -> None:
    """Remove what was last used long ago, and what a killed writer left."""
    for path in place.iterdir():
        leftover = path.name.startswith(".")
        used = path if leftover or not (path / MANIFEST).exists() else path / MANIFEST
        if time.time() - used.stat().st_mtime > (1 if leftover else UNUSED_DAYS) * _DAY:
            _remove(path)


def _remove(path: Path) -> None:
    aside = path.with_name(f".{path.name.lstrip('.')}-{uuid.uuid4().hex}")
    path.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def _harmless(place: Path) -> Iterator[None]:
    """A storage that fails here costs time, not the run."""
    try:
        yield
    except (OSError, shutil.Error) as error:
        message(f"{place}: {error}; the run goes on without kept tokens")


def settings(found: Cache) -> dict[str, Any]:
    """LLaMA Factory's argument."""
    return {"tokenized_path": str(found.path)} if found.path is not None else {}
