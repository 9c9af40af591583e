"""A model's tensors over all its safetensors files, and what can be counted from their shapes."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from tools.errors import UsageError
from tools.models.safetensors import Tensor, tensors

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
Tensors = Mapping[str, Tensor]
Dtype = Literal["float32", "float16", "bfloat16"]

_DTYPES: Mapping[str, Dtype] = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_IN_A_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks?)\.\d+\.(?P<module>.+)\.weight$")
# LoRA stays out of these: encoders of images and sound (frozen while text is trained), embeddings and norms.
_NO_LINEAR = re.compile(r"vision|visual|audio|projector|embed|norm|(?:^|\.)ln_|rotary|relative_attention")
_HEADS = ("lm_head.weight", "embed_out.weight", "output.weight")
_MATRIX = 2


def read(folder: Path, names: list[str]) -> dict[str, Tensor]:
    """All tensors of the folder's model.

    Raises:
        UsageError: a file is missing, damaged or not named by the index.
    """
    shards = _shards(folder, names)
    found: dict[str, Tensor] = {}
    for shard in shards:
        new = tensors(folder / shard)
        if twice := found.keys() & new.keys():
            raise UsageError(f"{folder / shard} holds {min(twice)} once more; download the model again")
        found |= new
    if INDEX in names:
        _compare(folder, found)
    return found


def _shards(folder: Path, names: list[str]) -> list[str]:
    there = [name for name in names if name.endswith(".safetensors")]
    if INDEX in names:
        listed = set(_index(folder).values())
        missing = sorted(listed - set(there))
        if missing:
            raise UsageError(f"{folder / INDEX} names {missing[0]}, which is not in the folder; download it as well")
        return sorted(listed)
    if SINGLE in names:
        return [SINGLE]
    found = f"only {', '.join(there)}" if there else "no weights"
    raise UsageError(f"{folder} holds {found}; allowed: {SINGLE}, or shards with {INDEX}; download the whole model")


def _index(folder: Path) -> dict[str, str]:
    try:
        listed = json.loads((folder / INDEX).read_bytes())["weight_map"]
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{folder / INDEX} is no index of shards: {error}; download it again") from error
    if not isinstance(listed, dict) or not all(isinstance(name, str) for name in listed.values()):
        raise UsageError(f"{folder / INDEX}: weight_map is no mapping of tensors to files; download it again")
    return listed


def _compare(folder: Path, found: Tensors) -> None:
    different = found.keys() ^ _index(folder).keys()
    if different:
        raise UsageError(f"{folder / INDEX} and the shards disagree about {min(different)}; download the model again")


def dtype(found: Tensors) -> Dtype:
    """The type of most of the weights.

    Raises:
        UsageError: it is none that can be trained from.
    """
    sizes: Counter[str] = Counter()
    for tensor in found.values():
        sizes[tensor.dtype] += tensor.elements
    most = sizes.most_common(1)[0][0]
    if most not in _DTYPES:
        allowed = ", ".join(_DTYPES.values())
        raise UsageError(
            f"the weights are of the type {most}; allowed: {allowed}; take the model without quantisation: "
            "`method: qlora` quantises by itself"
        )
    return _DTYPES[most]


def has_head(found: Tensors) -> bool:
    """Whether the output layer has weights of its own."""
    return any(name.endswith(_HEADS) for name in found)


def parameters(found: Tensors, *, tied: bool) -> int:
    """How many weights there are; a head that is tied to the embedding counts once even if it is stored twice."""
    return sum(tensor.elements for name, tensor in found.items() if not (tied and name.endswith(_HEADS)))


def linear_modules(found: Tensors, *, tied: bool) -> dict[str, tuple[int, int, int]]:
    """Linear layers as name -> (input size, output size, how many), in the order of the file.

    A layer's name is the last part of its module's, as LoRA targets name it; where one name has several shapes (experts
    beside a shared expert), the rarer ones have the part before it as well. The head is listed when it is not tied.
    """
    shapes: dict[str, Counter[tuple[int, int]]] = defaultdict(Counter)
    paths: dict[tuple[str, tuple[int, int]], str] = {}
    for path, (outputs, inputs) in _matrices(found):
        name = path.rpartition(".")[2]
        shapes[name][(inputs, outputs)] += 1
        paths.setdefault((name, (inputs, outputs)), path)
    listed: dict[str, tuple[int, int, int]] = {}
    for name, counted in shapes.items():
        for rank, (shape, count) in enumerate(counted.most_common()):
            key = name if rank == 0 else _longer(paths[(name, shape)])
            listed[key] = (*shape, count + (listed[key][2] if key in listed else 0))
    head = next((tensor.shape for name, tensor in found.items() if name.endswith(_HEADS)), None)
    if head and not tied:
        listed["lm_head"] = (head[1], head[0], 1)
    return listed


def _matrices(found: Tensors) -> Iterator[tuple[str, tuple[int, int]]]:
    for name, tensor in found.items():
        match = _IN_A_LAYER.search(name)
        if match and len(tensor.shape) == _MATRIX and not _NO_LINEAR.search(name):
            yield match["module"], (tensor.shape[0], tensor.shape[1])


def _longer(path: str) -> str:
    """The last two parts of a module's name that are no numbers."""
    return ".".join([part for part in path.split(".") if not part.isdigit()][-2:])
