"""What lies on a tenant's storage, by the places that the platform's own programs write to; everything else is `other`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from tools.formats.base import LABEL_PATTERN
from tools.storage.tree import Size, Tree, Unreal, is_folder

Kind = Literal["checkpoints", "adapter", "evaluation", "model", "staging", "logs", "data", "removed", "other"]

MODELS = ("models", "merged-model")
PLACES: dict[tuple[str, ...], Kind] = {
    ("output", "checkpoints"): "checkpoints",
    ("output", "lora-adapter"): "adapter",
    ("evaluation",): "evaluation",
    ("logs",): "logs",  # of `ft run`; a cluster keeps its own
}
DATA = ("data", "training-datasets")
BASE_MODELS = ("models", "base-model")  # a claim of its own
RECORD = "removals.jsonl"  # tools/storage/removal.py
ASIDE = ".removed-"
_RUN_ID = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?-[0-9a-f]{8}\Z")
_MODEL = re.compile(rf"{LABEL_PATTERN[1:-1]}\Z")
_LOCK_FILES = frozenset({".publish.lock"})
_STAGING = re.compile(r"\.staging-(.+)-[0-9a-z_]{8}\Z")  # runner/placing.py
_MAX_RUN_ID = 49


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that lies there.

    place: the folder that holds it. run_id: None where nothing says whose it is. model: name of a merged model.
    """

    kind: Kind
    place: tuple[str, ...]
    name: str
    size: Size
    run_id: str | None = None
    model: str | None = None

    @property
    def path(self) -> str:
        """Below the storage, with forward slashes."""
        return "/".join((*self.place, self.name))


def is_run_id(name: str) -> bool:
    """Whether a name is built like a run id."""
    return len(name) <= _MAX_RUN_ID and _RUN_ID.match(name) is not None


def _owner(name: str) -> str:
    """The run id in the name of a staging folder; any other name as it is."""
    match = _STAGING.match(name)
    return match[1] if match else name


def parts(tree: Tree) -> Iterator[Part]:
    """Everything on the storage but its base models, each thing once.

    Raises:
        OSError: the storage itself cannot be read.
    """
    known = [(), *_above(*PLACES, MODELS, DATA, BASE_MODELS)]
    inner = {(*place, name) for place in known for name in _listed(tree, place)}
    for path in sorted(inner):
        place, name = path[:-1], path[-1]
        if path in (BASE_MODELS, (RECORD,)) or (path in known and _real(tree, path)):
            continue
        if path in PLACES:
            yield from _runs(tree, path, PLACES[path])
        elif path == MODELS:
            yield from _models(tree)
        else:
            yield from _part(tree, "data" if path == DATA else "other", place, name)


def _above(*places: tuple[str, ...]) -> set[tuple[str, ...]]:
    return {place[:count] for place in places for count in range(1, len(place))}


def _listed(tree: Tree, place: tuple[str, ...]) -> list[str]:
    try:
        return tree.names(*place)
    except Unreal:
        return []


def _models(tree: Tree) -> Iterator[Part]:
    if not _real(tree, MODELS):
        yield from _part(tree, "other", MODELS[:-1], MODELS[-1])
        return
    for name in tree.names(*MODELS):
        if _MODEL.match(name) and _real(tree, (*MODELS, name)):
            yield from _runs(tree, (*MODELS, name), "model", name)
        else:
            yield from _part(tree, "other", MODELS, name)


def _runs(tree: Tree, place: tuple[str, ...], kind: Kind, model: str | None = None) -> Iterator[Part]:
    if not _real(tree, place):
        yield from _part(tree, "other", place[:-1], place[-1])
        return
    for name in tree.names(*place):
        if name in _LOCK_FILES:
            continue
        with tree.folder(*place) as descriptor:
            real = is_folder(descriptor, name)
        if real and is_run_id(name):
            yield from _part(tree, kind, place, name, run_id=name, model=model)
        elif real and name.startswith(ASIDE) and is_run_id(_owner(name.removeprefix(ASIDE))):
            yield from _part(tree, "removed", place, name, run_id=_owner(name.removeprefix(ASIDE)), model=model)
        elif real and kind == "model" and _owner(name) != name and is_run_id(_owner(name)):
            yield from _part(tree, "staging", place, name, run_id=_owner(name), model=model)
        else:
            yield from _part(tree, "other", place, name)


def _real(tree: Tree, place: tuple[str, ...]) -> bool:
    try:
        with tree.folder(*place):
            return True
    except (FileNotFoundError, Unreal):
        return False


def _part(
    tree: Tree, kind: Kind, place: tuple[str, ...], name: str, *, run_id: str | None = None, model: str | None = None
) -> Iterator[Part]:
    try:
        size = tree.size(place, name)
    except (FileNotFoundError, Unreal):
        return  # gone, or replaced, since it was listed
    yield Part(kind, place, name, size, run_id, model)
