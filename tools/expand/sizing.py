"""What a run's containers ask of a node, where that differs from the base: numbers of the lock in, quantities out."""

from __future__ import annotations

from math import ceil
from typing import Any

from tools.formats.lock import LockedRun

GIB = 1024**3
GPU = "nvidia.com/gpu"

# base/training/v1 is sized for one GPU; more of them read, tokenise and hold proportionally more.
CPUS_PER_GPU = 8
MEMORY_GIB_PER_GPU = 64
EPHEMERAL_STORAGE = "20Gi"

# Without a GPU: small models, the demo, tests. Requests are small enough for a node with two cores.
CPU_ONLY: dict[str, Any] = {
    "requests": {"cpu": "1", "memory": "4Gi", "ephemeral-storage": "2Gi"},
    "limits": {"cpu": "4", "memory": "12Gi", "ephemeral-storage": EPHEMERAL_STORAGE},
}

PUBLISH_MEMORY_GIB = 8
PUBLISH_DEADLINE_SECONDS = 3600
_PYTHON_AND_TORCH_GIB = 4
_WEIGHTS_IN_MEMORY = 2  # the base and the merged weights at once, at worst
_PASSES = 5  # read the base, write the merged; hash it; read both for the certificate
_BYTES_PER_SECOND = 100_000_000  # NFS over 1 Gbit/s
_SCORED_MODELS = 3  # base, candidate and champion
_PASSES_TO_SCORE = 2
_START_SECONDS = 600
_ROUND_SECONDS = 600


def cpu_memory() -> float:
    """Bytes that a training container without a GPU may use."""
    return float(CPU_ONLY["limits"]["memory"].removesuffix("Gi")) * GIB


def training(gpus: int) -> dict[str, Any]:
    """The training container's `resources`; the base holds those of one GPU."""
    if gpus == 0:
        return CPU_ONLY
    amount = {
        "cpu": str(CPUS_PER_GPU * gpus),
        "memory": f"{MEMORY_GIB_PER_GPU * gpus}Gi",
        "ephemeral-storage": EPHEMERAL_STORAGE,
        GPU: str(gpus),
    }
    return {"requests": amount, "limits": amount}


def publish_memory_gib(run: LockedRun) -> int:
    """Memory of the publish container, GiB."""
    return publishing_gib(_model_bytes(run))


def publishing_gib(weights: int) -> int:
    """Memory that publishing takes, GiB: the weights (bytes) twice and the interpreter, never less than the base's."""
    return max(PUBLISH_MEMORY_GIB, _PYTHON_AND_TORCH_GIB + ceil(_WEIGHTS_IN_MEMORY * weights / GIB))


def publish_deadline_seconds(run: LockedRun) -> int:
    """Longest time of the publish Job, seconds: five passes over the weights at 100 MB/s, never less than the base's.

    An evaluation adds its own limit, reading each of its models twice (hash, load), and a start of Python and torch.
    """
    passes, seconds = _PASSES, _START_SECONDS
    if run.evaluation is not None:
        passes += _SCORED_MODELS * _PASSES_TO_SCORE
        seconds += _START_SECONDS + run.evaluation.time_limit_seconds
    needed = seconds + passes * _model_bytes(run) / _BYTES_PER_SECOND
    return max(PUBLISH_DEADLINE_SECONDS, ceil(needed / _ROUND_SECONDS) * _ROUND_SECONDS)


def _model_bytes(run: LockedRun) -> int:
    return sum(file.size for file in run.model.files.values())
