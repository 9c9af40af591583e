"""The GPUs that this process may use, without importing torch: a missing one is then found in milliseconds."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass

MIB = 2**20
SECONDS = 30


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU; memory in bytes."""

    total: int
    free: int


def visible() -> list[Gpu]:
    """GPUs that `nvidia-smi` lists, less those that CUDA_VISIBLE_DEVICES hides; none where there is no driver."""
    if shutil.which("nvidia-smi") is None or os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        return []
    query = ["nvidia-smi", "--query-gpu=memory.total,memory.free", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return selected(parse(answer.stdout), os.environ.get("CUDA_VISIBLE_DEVICES"))


def parse(text: str) -> list[Gpu]:
    """Lines `total, free` in MiB, as the query above prints them; a GPU that tells nothing ([N/A]) is left out."""
    rows = [[part.strip() for part in line.split(",")] for line in text.splitlines()]
    return [
        Gpu(int(row[0]) * MIB, int(row[1]) * MIB)
        for row in rows
        if len(row) == 2 and all(map(str.isdecimal, row))  # noqa: PLR2004
    ]


def selected(gpus: list[Gpu], devices: str | None) -> list[Gpu]:
    """The GPUs that CUDA_VISIBLE_DEVICES lets through; numbers are obeyed, UUIDs only counted."""
    if devices is None:
        return gpus
    names = [name.strip() for name in devices.split(",") if name.strip()]
    if all(map(str.isdecimal, names)):
        return [gpus[int(name)] for name in names if int(name) < len(gpus)]
    return gpus[: len(names)]
