"""Seconds that one way of computing takes beside another, by two terms: arithmetic and launches (tools/plan/hours.py).

Only ratios are used, so what both ways share (loading, evaluation, the optimiser's step) is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot, prod, sqrt

from tools.formats.gpus import GpuType
from tools.plan.hours import LEAST_LAUNCH, MOST_LAUNCH, flops_per_token, shares
from tools.plan.memory import GIB
from tools.plan.steps import Steps
from tools.plan.workload import Workload

RECOMPUTED = 4 / 3  # one more forward pass with gradient checkpointing: Chen et al. 2016, section 4
# Two cores, float32, SmolLM2-135M with LoRA, one to eight rows of 75 tokens: 0.27 s a pass and 0.48 s a row without recomputation.
_CPU_FLOPS = 9e10
_CPU_LAUNCH = 0.008


@dataclass(frozen=True, slots=True)
class Device:
    """What trains. memory: bytes; flops: a second, on a GPU by its data sheet, else as reached; launch: seconds a layer and pass."""

    memory: float
    flops: float
    launch: float
    is_gpu: bool


def gpu(found: GpuType) -> Device:
    """A GPU by its data sheet."""
    return Device(found.memory_gib * GIB, found.bf16_tflops * 1e12, sqrt(LEAST_LAUNCH * MOST_LAUNCH), is_gpu=True)


def cpu(memory: float) -> Device:
    """A container without a GPU that may use `memory` bytes."""
    return Device(memory, _CPU_FLOPS, _CPU_LAUNCH, is_gpu=False)


def seconds(work: Workload, steps: Steps, device: Device) -> float:
    """Time of all steps of a run, in the middle of the range that `ft plan` shows: padding is computed like any token."""
    passes = steps.optimisation_steps * int(work.value("gradient_accumulation_steps"))
    again = RECOMPUTED if work.checkpointing else 1.0
    reached = device.flops * (sqrt(prod(shares(work))) if device.is_gpu else 1.0)
    arithmetic = flops_per_token(work) * work.sequences * work.expected / reached
    launches = work.architecture.num_hidden_layers * device.launch
    return passes * again * (hypot(arithmetic, launches) if device.is_gpu else arithmetic + launches)
