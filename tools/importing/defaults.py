"""Values that a new experiment starts with, from its model, its data and the published examples of each stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tools.formats.dataset import Dataset
from tools.formats.experiment import Method, Stage
from tools.formats.model import Model

_PREFERENCE = frozenset({"dpo", "kto"})
_LEAST_CUTOFF, _USUAL_CUTOFF = 256, 2048


def train(method: Method, stage: Stage, model: Model, datasets: Sequence[Dataset]) -> dict[str, Any]:
    """`train:` of a new experiment: 16 rows a step, learning rates of LLaMA Factory's own examples."""
    chosen: dict[str, Any] = {"quantization_bit": 4} if method == "qlora" else {}
    if method != "full":
        chosen["lora_rank"] = 16
    return {
        **chosen,
        "learning_rate": learning_rate(method, stage),
        "num_train_epochs": 3,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 4,
        "cutoff_len": cutoff(model, datasets),
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.1,
        **({"pref_beta": 0.1} if stage in _PREFERENCE else {}),
    }


def learning_rate(method: Method, stage: Stage) -> float:
    """That of the project's examples: preference stages and full training move in smaller steps."""
    if stage in _PREFERENCE:
        return 5.0e-6
    return 1.0e-5 if method == "full" else 1.0e-4


def cutoff(model: Model, datasets: Sequence[Dataset]) -> int:
    """The next power of two that 99 % of the rows fit into, at most the model's context."""
    lengths = [dataset.tokens.p99 for dataset in datasets if dataset.tokens is not None]
    needed = max(lengths) if len(lengths) == len(datasets) and lengths else _USUAL_CUTOFF
    rounded = 1 << max(needed - 1, _LEAST_CUTOFF - 1).bit_length()
    return int(min(rounded, model.architecture.max_position_embeddings))


def stage_for(datasets: Sequence[Dataset]) -> Stage:
    """The stage that takes such rows: pairs are for dpo."""
    if any("kto_tag" in dataset.columns for dataset in datasets):
        return "kto"
    return "dpo" if any(dataset.ranking for dataset in datasets) else "sft"
