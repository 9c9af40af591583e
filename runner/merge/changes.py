"""The kinds of change that an adapter makes to one tensor of the base. Sources lie in the adapter's file."""

from __future__ import annotations

from dataclasses import dataclass

from runner.merge.headers import Tensor


@dataclass(frozen=True, slots=True)
class LowRank:
    """W + scale * B A (arXiv:2106.09685); with `magnitude` DoRA's magnitude * V / |V| over rows of it (arXiv:2402.09353).

    a, b: [r, in] and [out, r]. transposed: W is stored as [in, out] (fan_in_fan_out, embeddings).
    """

    a: Tensor
    b: Tensor
    scale: float
    transposed: bool
    magnitude: Tensor | None = None

    @property
    def kind(self) -> str:
        """As the report names it."""
        return "dora" if self.magnitude else "lora"


@dataclass(frozen=True, slots=True)
class Replace:
    """Other values, possibly of another shape; rounded to the base's type."""

    source: Tensor
    kind: str = "replaced"


@dataclass(frozen=True, slots=True)
class Rows:
    """Other values in some rows."""

    source: Tensor
    indices: tuple[int, ...]
    kind: str = "rows"


@dataclass(frozen=True, slots=True)
class Add:
    """W + scale * source, for biases."""

    source: Tensor
    scale: float
    kind: str = "bias"


Change = LowRank | Replace | Rows | Add
