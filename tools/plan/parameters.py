"""How many weights a run trains, and how many of the base are kept in few bits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tools.formats.model import Architecture
from tools.plan.workload import Workload

_EMBEDDINGS = ("embed_tokens", "lm_head")


def trainable(work: Workload) -> int:
    """Weights that the optimiser updates: all of them, or the adapter's."""
    if work.method == "full":
        return work.architecture.parameters
    return adapter(work) + copied(work)


def adapter(work: Workload) -> int:
    """Weights of the LoRA matrices: rank x (inputs + outputs) for each targeted layer; DoRA adds a magnitude for each output.

    Source: Hu et al. 2021, LoRA, section 4.1 (A is r x inputs, B outputs x r); Liu et al. 2024, DoRA, section 4.
    """
    rank = int(work.value("lora_rank"))
    dora = 1 if work.value("use_dora") else 0
    return sum((rank * (inputs + outputs) + dora * outputs) * count for inputs, outputs, count in _targets(work))


def copied(work: Workload) -> int:
    """Weights of whole modules trained beside the adapter (`additional_target`); only embeddings and the head are known here."""
    chosen = _names(work.value("additional_target"))
    shape = work.architecture.vocab_size * work.architecture.hidden_size
    return shape * sum(name in chosen for name in _EMBEDDINGS)


def linear(architecture: Architecture) -> int:
    """Weights of the linear layers, the head left out: what bitsandbytes quantises."""
    return sum(i * o * n for name, (i, o, n) in architecture.linear_modules.items() if name != "lm_head")


def largest_linear(architecture: Architecture) -> int:
    """Weights of the largest linear layer."""
    return max((i * o for i, o, _ in architecture.linear_modules.values()), default=0)


def _targets(work: Workload) -> Iterator[tuple[int, int, int]]:
    """Targeted layers as (inputs, outputs, how many); `all` is every linear layer but the head (llamafactory/model/model_utils/misc.py)."""
    chosen = _names(work.value("lora_target"))
    for name, shape in work.architecture.linear_modules.items():
        if name in chosen or ("all" in chosen and name != "lm_head"):
            yield shape


def _names(text: Any) -> frozenset[str]:
    items = text.split(",") if isinstance(text, str) else text or []
    return frozenset(item.strip() for item in items)
