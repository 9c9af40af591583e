"""What a merge did, for the certificate: hashes of what went in and came out, and what changed in each tensor."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from tools.formats.model import File


@dataclass(frozen=True, slots=True)
class TensorChange:
    """One tensor that differs from the base's.

    elements: of the tensor in the result.
    changed: elements whose stored bits differ from the base's; all of a tensor that the base lacks.
    norm: Frobenius norm of what was added, before the rounding to the base's type; for replaced values that of new - old.
    kind: lora, dora, replaced, rows, bias or added.
    """

    elements: int
    changed: int
    norm: float
    kind: str


@dataclass(slots=True)
class MergeReport:
    """The whole merge.

    base, adapter: file name -> SHA-256 of what was read.
    result: file name -> SHA-256 and size of every file written.
    changes: tensors that the adapter touches.
    untouched: number of tensors that were moved as bytes.
    """

    base: dict[str, str] = field(default_factory=dict)
    adapter: dict[str, str] = field(default_factory=dict)
    result: dict[str, File] = field(default_factory=dict)
    changes: dict[str, TensorChange] = field(default_factory=dict)
    untouched: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON types, names sorted."""
        return {
            "base": dict(sorted(self.base.items())),
            "adapter": dict(sorted(self.adapter.items())),
            "result": {name: file.model_dump() for name, file in sorted(self.result.items())},
            "changes": {name: asdict(change) for name, change in sorted(self.changes.items())},
            "untouched": self.untouched,
        }
