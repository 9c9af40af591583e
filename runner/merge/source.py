"""The adapter's tensors as float32, read when they are needed: an adapter of a large model would not fit the memory goal."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from runner.exits import Mismatch
from runner.merge.headers import BYTES, Tensor, open_regular
from runner.merge.precision import STORED, TILE, Array, to_float32


class Source:
    """The adapter's weights file, open."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._descriptor = open_regular(file)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def part(self, tensor: Tensor, first: int, count: int) -> Array:
        """`count` elements from `first` on, float32, one dimension.

        Raises:
            Mismatch: the file became shorter.
        """
        size = BYTES[tensor.dtype]
        data = os.pread(self._descriptor, count * size, tensor.offset + first * size)
        if len(data) != count * size:
            raise Mismatch(f"{self.file}: changed while it was read", "merge again when nobody writes it")
        return to_float32(tensor.dtype, np.frombuffer(data, STORED[tensor.dtype]))

    def vector(self, tensor: Tensor) -> Array:
        """All elements, one dimension."""
        return self.part(tensor, 0, tensor.size // BYTES[tensor.dtype])

    def matrix(self, tensor: Tensor) -> Array:
        """All elements in the tensor's shape."""
        return self.vector(tensor).reshape(tensor.shape)

    def check_finite(self, tensors: dict[str, Tensor]) -> None:
        """Make sure that there is no NaN and no infinity anywhere.

        Raises:
            Mismatch: names the tensor.
        """
        for name, tensor in tensors.items():
            if tensor.dtype not in STORED:
                continue  # refused by name where it is used
            count = tensor.size // BYTES[tensor.dtype]
            for first in range(0, count, TILE):
                if not np.isfinite(self.part(tensor, first, min(TILE, count - first))).all():
                    raise Mismatch(
                        f"{self.file}: {name} holds NaN or infinity; allowed: finite numbers",
                        "the training diverged: lower its learning rate and train again",
                    )
