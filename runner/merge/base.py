"""The base model's folder: its configuration, its shards and which tensor lies in which."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.exits import BadSpec, Mismatch
from runner.merge import headers
from runner.merge.headers import Header, Tensor, open_regular

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
CONFIG = "config.json"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*\.safetensors")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")
_REMEDY = "fetch the base model again and compare it with the catalog"


@dataclass(frozen=True, slots=True)
class Base:
    """What the folder holds; nothing of the weights themselves is read.

    index: content of the index file, None for a model of one file.
    shards: file name -> header, in the order of their names.
    """

    folder: Path
    config: dict[str, Any]
    index: dict[str, Any] | None
    shards: dict[str, Header]

    @property
    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name; names are unique over the shards."""
        return {name: tensor for header in self.shards.values() for name, tensor in header.tensors.items()}

    @property
    def tied(self) -> bool:
        """Whether the output layer is the input embedding (transformers' default is yes where the file does not say)."""
        return bool(self.config.get("tie_word_embeddings", "lm_head.weight" not in self.tensors))


def load(folder: Path) -> Base:
    """Read configuration, index and headers.

    Raises:
        Mismatch: a file is missing, damaged or contradicts another.
        BadSpec: the model is of a kind that cannot be merged into.
    """
    config = read_json(folder / CONFIG)
    if config.get("quantization_config"):
        raise BadSpec(
            f"{folder / CONFIG}: the base model is quantised; allowed: full precision",
            "merge into the full-precision model that it was made from",
        )
    index = read_json(folder / INDEX) if (folder / INDEX).exists() or (folder / INDEX).is_symlink() else None
    shards = {name: headers.read(folder / name) for name in _shard_names(folder, index)}
    _check_names(folder, index, shards)
    return Base(folder, config, index, shards)


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object from a regular file.

    Raises:
        Mismatch: it is missing, a symbolic link or no JSON object.
    """
    with open(open_regular(file), "rb") as stream:  # noqa: PTH123 - of a descriptor
        text = stream.read()
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Mismatch(f"{file}: no valid JSON ({str(error) or 'nested too deeply'})", _REMEDY) from error
    if not isinstance(content, dict):
        raise Mismatch(f"{file}: {type(content).__name__}; allowed: a JSON object", _REMEDY)
    return content


def _shard_names(folder: Path, index: dict[str, Any] | None) -> list[str]:
    if index is None:
        pickles = [path.name for pattern in _PICKLES for path in folder.glob(pattern)]
        if pickles and not (folder / SINGLE).exists():
            raise BadSpec(
                f"{folder}: weights only as pickle ({pickles[0]}); allowed: safetensors",
                "convert them: loading a pickle runs what it says",
            )
        return [SINGLE]
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise Mismatch(f"{folder / INDEX}: no weight_map", _REMEDY)
    for tensor, name in weight_map.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise Mismatch(
                f"{folder / INDEX}: {tensor} lies in {str(name)[:80]!r}; allowed: a *.safetensors file in this folder",
                _REMEDY,
            )
    return sorted(set(weight_map.values()))


def _check_names(folder: Path, index: dict[str, Any] | None, shards: dict[str, Header]) -> None:
    """Each tensor in exactly one shard, and in the one that the index names."""
    found: dict[str, str] = {}
    for shard, header in shards.items():
        for name in header.tensors:
            if name in found:
                raise Mismatch(f"{folder}: {name} lies in {found[name]} and in {shard}; allowed: one of them", _REMEDY)
            found[name] = shard
    if index is not None and index["weight_map"] != found:
        wrong = min(set(index["weight_map"].items()) ^ set(found.items()))
        raise Mismatch(f"{folder / INDEX} and the shards disagree about {wrong[0]} ({wrong[1]})", _REMEDY)
