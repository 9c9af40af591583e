"""What the table names: the device, its memory, and the speed of its matrix products."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.options import ROOT
from runner import gpu
from tools.expand.sizing import cpu_memory
from tools.formats.gpus import GpuType
from tools.plan.memory import GIB

SIZES = {True: 8192, False: 1024}  # of the matrices, on a GPU and on a CPU


@dataclass(frozen=True, slots=True)
class Machine:
    """flops: a second, measured with one large product; memory: bytes; sheet: its type in catalog/gpus.yaml, None where unlisted."""

    name: str
    flops: float
    memory: float
    sheet: GpuType | None

    @property
    def on_gpu(self) -> bool:
        """Whether it is a GPU."""
        return self.name != "CPU"

    @property
    def as_type(self) -> GpuType:
        """What the plan computes with: the data sheet's figures, or the measured ones of a type that nobody listed."""
        if self.sheet is not None:
            return self.sheet
        return GpuType(
            memory_gib=self.memory / GIB, bandwidth_gb_s=1.0, bf16_tflops=self.flops / 1e12, price_per_hour=0.0
        )


def read(listed: dict[str, GpuType], *, on_gpu: bool) -> Machine | None:
    """This machine; None where a GPU is wanted and none is visible."""
    if not on_gpu:
        return Machine("CPU", _flops(on_gpu=False), cpu_memory(), None)
    found = gpu.visible()
    if not found:
        return None
    name = _name()
    return Machine(name, _flops(on_gpu=True), found[0].total, sheet(name, found[0].total, listed))


def sheet(name: str, memory: float, listed: dict[str, GpuType]) -> GpuType | None:
    """The type of that chip, `h100` of `h100-80gb`, whose memory is nearest."""
    words = re.split(r"[^A-Z0-9]+", name.upper())
    known = [kind for key, kind in listed.items() if key.split("-")[0].upper() in words]
    return min(known, key=lambda kind: abs(kind.memory_gib * GIB - memory), default=None)


def _name() -> str:
    query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    return subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()[0].strip()


def _flops(*, on_gpu: bool) -> float:
    program = Path(__file__).with_name("product.py")
    command = [sys.executable, str(program), str(SIZES[on_gpu])]
    return float(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
