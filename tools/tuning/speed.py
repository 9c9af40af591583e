"""Seconds that one way of computing takes beside another, by two terms: arithmetic and launches.

Only ratios are used, so what both ways share (loading, evaluation, the optimiser's step) is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from tools.formats.gpus import GpuType
from tools.plan.hours import BEST_SHARE, LEAST_LAUNCH, MOST_LAUNCH, WORST_SHARE, flops_per_token
from tools.plan.memory import GIB
from tools.plan.steps import Steps
from tools.plan.workload import Workload

RECOMPUTED = 4 / 3  # one more forward pass with gradient checkpointing: Chen et al. 2016, section 4
# Two cores, float32, SmolLM2-135M with LoRA, one to eight rows of 75 tokens: 0.27 s a pass and 0.48 s a row without recomputation.
_CPU_FLOPS = 9e10
_CPU_LAUNCH = 0.008


@dataclass(frozen=True, slots=True)
class Device:
    """What trains. memory: bytes; flops: of matrix work, a second, as usually reached; launch: seconds a layer and pass."""

    memory: float
    flops: float
    launch: float
    is_gpu: bool


def gpu(found: GpuType) -> Device:
    """A GPU by its data sheet: the middle of the range that `ft plan` shows."""
    reached = sqrt(BEST_SHARE * WORST_SHARE) * found.bf16_tflops * 1e12
    return Device(found.memory_gib * GIB, reached, sqrt(LEAST_LAUNCH * MOST_LAUNCH), is_gpu=True)


def cpu(memory: float) -> Device:
    """A container without a GPU that may use `memory` bytes."""
    return Device(memory, _CPU_FLOPS, _CPU_LAUNCH, is_gpu=False)


def seconds(work: Workload, steps: Steps, device: Device) -> float:
    """Time of all steps of a run: padding is computed like any token."""
    passes = steps.optimisation_steps * int(work.value("gradient_accumulation_steps"))
    again = RECOMPUTED if work.checkpointing else 1.0
    arithmetic = flops_per_token(work) * work.sequences * work.expected / device.flops
    return passes * again * (arithmetic + work.architecture.num_hidden_layers * device.launch)
