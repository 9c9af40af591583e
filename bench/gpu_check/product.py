"""Times a matrix product: `product.py SIZE` prints the FLOP/s of SIZE x SIZE, bfloat16 on a GPU and float32 on a CPU.

A product of n x n matrices takes 2 n^3 operations. What the chip reaches here is what training could reach at best; the data
sheet's figure is not reached by anything.
"""

from __future__ import annotations

import sys
import time

import torch

_ROUNDS = 10


def main(size: int) -> None:
    """Print the best of ten."""
    on_gpu = torch.cuda.is_available()
    device, dtype = ("cuda", torch.bfloat16) if on_gpu else ("cpu", torch.float32)
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = 0.0
    for _ in range(_ROUNDS):
        if on_gpu:
            torch.cuda.synchronize()
        started = time.perf_counter()
        left @ right
        if on_gpu:
            torch.cuda.synchronize()
        best = max(best, 2 * size**3 / (time.perf_counter() - started))
    print(best)


if __name__ == "__main__":
    main(int(sys.argv[1]))
