"""Where each tensor of the result lies: the base's shards and names, its own header kept byte for byte where nothing moved."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from runner.merge.base import Base
from runner.merge.changes import Change, Replace
from runner.merge.headers import BYTES, Header, Tensor
from runner.merge.plan import Plan


@dataclass(frozen=True, slots=True)
class Output:
    """One tensor of the result.

    origin: the base's tensor in the file of the same name, or None where all of it comes from the adapter.
    """

    name: str
    tensor: Tensor
    origin: Tensor | None
    change: Change | None


@dataclass(frozen=True, slots=True)
class Shard:
    """One file of the result: its header's bytes and its tensors in the order of their data."""

    name: str
    header: bytes
    outputs: list[Output]

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return len(self.header) + sum(output.tensor.size for output in self.outputs)


def shards(base: Base, plan: Plan) -> list[Shard]:
    """Every file of the result."""
    return [_shard(name, header, plan) for name, header in base.shards.items()]


def index(base: Base, made: list[Shard]) -> dict[str, Any] | None:
    """The index, if the base has one and it must change."""
    if base.index is None:
        return None
    weight_map = {output.name: shard.name for shard in made for output in shard.outputs}
    if weight_map == base.index["weight_map"] and all(shard.header == base.shards[shard.name].raw for shard in made):
        return None
    total = sum(output.tensor.size for shard in made for output in shard.outputs)
    metadata = {**(base.index.get("metadata") or {}), "total_size": total}
    return {**base.index, "metadata": metadata, "weight_map": dict(sorted(weight_map.items()))}


def _shard(name: str, header: Header, plan: Plan) -> Shard:
    entries = []
    for tensor_name, tensor in header.tensors.items():
        entries.append((tensor_name, tensor, _shape(tensor, plan.changes.get(tensor_name))))
        entries.extend(
            (added, tensor, _shape(tensor, plan.changes.get(added)))
            for added, source in plan.added.items()
            if source == tensor_name
        )
    if [(entry, shape) for entry, _, shape in entries] == [(entry, t.shape) for entry, t in header.tensors.items()]:
        outputs = [Output(entry, tensor, tensor, plan.changes.get(entry)) for entry, tensor, _ in entries]
        return Shard(name, header.raw, outputs)
    return _rebuilt(name, header, entries, plan)


def _shape(tensor: Tensor, change: Change | None) -> tuple[int, ...]:
    return change.source.shape if isinstance(change, Replace) else tensor.shape


def _rebuilt(name: str, header: Header, entries: list[tuple[str, Tensor, tuple[int, ...]]], plan: Plan) -> Shard:
    content: dict[str, Any] = {} if header.metadata is None else {"__metadata__": header.metadata}
    end = 0
    for entry, tensor, shape in entries:
        start, end = end, end + BYTES[tensor.dtype] * math.prod(shape)
        content[entry] = {"dtype": tensor.dtype, "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    raw = len(text).to_bytes(8, "little") + text
    outputs = []
    for entry, tensor, shape in entries:
        start, end = content[entry]["data_offsets"]
        change = plan.changes.get(entry)
        origin = None if isinstance(change, Replace) and shape != tensor.shape else tensor
        outputs.append(Output(entry, Tensor(tensor.dtype, shape, len(raw) + start, end - start), origin, change))
    return Shard(name, raw, outputs)
