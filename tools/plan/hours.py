"""How long a run takes and what it costs: a range, because how much of a chip a setting reaches is not known in advance."""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot

from tools.formats.gpus import GpuType
from tools.plan.steps import Steps
from tools.plan.workload import Workload

HOUR = 3600
# Measured on one H100 with LLaMA Factory 0.9.5 (7B and 1B, LoRA): from 0.4 % of the chip at batch 1 to 40 % packed with Liger.
# Two terms explain all of it: the share of the data-sheet speed that matrix work reaches, and the time in which the host launches
# a layer's kernels, which no batch size shortens. The GPU works while the host launches, more or less: neither the sum nor the larger
# of both, but the root of their squares' sum comes nearest to what was measured (docs/performance.md).
BEST_SHARE, WORST_SHARE = 0.45, 0.18
# The same with fused attention and LoRA layers: 49 % (7B) and 40 % (1B) of the data sheet, packed, with Liger, nothing computed twice.
BEST_FUSED, WORST_FUSED = 0.50, 0.30
LEAST_LAUNCH, MOST_LAUNCH = 0.004, 0.016  # seconds for one layer, forward and backward


@dataclass(frozen=True, slots=True)
class Duration:
    """Training time of a run, hours, and the work in it.

    low, high: the expected range; None without a GPU, whose speed alone the catalogue knows.
    flops_per_token: of the model, forward and backward, recomputation left out. tokens: in the rows, padding left out.
    """

    low: float | None
    high: float | None
    flops_per_token: float
    tokens: float


def flops_per_token(work: Workload) -> float:
    """Floating point operations that one token takes.

    6 N for all weights (2 forward, 4 backward), 4 N where the base is frozen, for its weights need no gradient; plus
    12 x layers x heads x head size x tokens of the sequence for attention.
    Sources: Kaplan et al. 2020, Scaling Laws, section 2.1; Chowdhery et al. 2022, PaLM, appendix B.
    """
    a = work.architecture
    weights = (6 if work.method == "full" else 4) * a.parameters
    return weights + 12 * a.num_hidden_layers * a.num_attention_heads * a.head_dim * work.expected


def shares(work: Workload) -> tuple[float, float]:
    """Least and most of the data-sheet speed that matrix work is expected to reach."""
    return (WORST_FUSED, BEST_FUSED) if work.fused_layers else (WORST_SHARE, BEST_SHARE)


def duration(work: Workload, steps: Steps, gpu: GpuType | None) -> Duration:
    """Time of a run on `gpu` (None: on the CPU), start-up and evaluation left out."""
    rows = steps.optimisation_steps * steps.examples_per_step
    tokens = work.typical * min(rows, steps.epochs * steps.examples)
    tokens *= work.sequences / int(work.value("per_device_train_batch_size"))
    each = flops_per_token(work)
    if gpu is None:
        return Duration(None, None, each, tokens)
    passes = steps.optimisation_steps * int(work.value("gradient_accumulation_steps"))
    again = 4 / 3 if work.checkpointing else 1.0  # one more forward pass: Chen et al. 2016, section 4
    layers = work.architecture.num_hidden_layers
    compute = each * work.sequences / (gpu.bf16_tflops * 1e12)
    worst, best = shares(work)
    low = passes * hypot(compute * work.typical / best, layers * LEAST_LAUNCH)
    high = passes * again * hypot(compute * work.expected / worst, layers * MOST_LAUNCH)
    return Duration(low / HOUR, high / HOUR, each, tokens)
