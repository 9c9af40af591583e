"""What is compared: models by their shape, and ways of training them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

# LLaMA Factory's published examples (examples/train_lora/*.yaml), which everybody starts from.
PUBLISHED: dict[str, Any] = {
    "per_device_train_batch_size": 1,
    "gradient_accumulation_steps": 8,
    "cutoff_len": 2048,
    "lora_rank": 8,
    "lora_target": "all",
    "learning_rate": 1.0e-4,
}
_LIGER = {"enable_liger_kernel": True}
_KEPT = {"disable_gradient_checkpointing": True}


@dataclass(frozen=True, slots=True)
class Shape:
    """A Llama of random weights in bfloat16."""

    name: str
    config: Mapping[str, Any]


SHAPES = {
    "7b": Shape(
        "7b",
        {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32},
    ),
    "1b": Shape(
        "1b",
        {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32},
    ),
}


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of the table. train: beside PUBLISHED; models: shapes that it is measured with."""

    name: str
    train: Mapping[str, Any] = field(default_factory=dict)
    method: str = "lora"
    performance: str = "as-written"
    models: tuple[str, ...] = ("7b", "1b")

    @property
    def all_of(self) -> dict[str, Any]:
        """Everything that the experiment's `train` says; None in `train` leaves a key out."""
        quantised = {"quantization_bit": 4} if self.method == "qlora" else {}
        adapter = {"lora_rank", "lora_target"} if self.method == "full" else set()
        found = {**PUBLISHED, **quantised, **self.train}
        return {key: value for key, value in found.items() if value is not None and key not in adapter}


def _batch(size: int, accumulation: int = 1) -> dict[str, int]:
    return {"per_device_train_batch_size": size, "gradient_accumulation_steps": accumulation}


_PACKED = {"neat_packing": True}

SETTINGS = (
    Setting("published example: batch 1 x 8, recomputation"),
    Setting("batch 8", _batch(8)),
    Setting("neat packing, batch 4 x 2048", {**_batch(4), **_PACKED}),
    Setting("neat packing, Liger, batch 8 x 2048", {**_batch(8), **_PACKED, **_LIGER}),
    Setting("neat packing, Liger, batch 4, no recomputation", {**_batch(4), **_PACKED, **_LIGER, **_KEPT}),
    Setting("performance: auto of the published example", performance="auto"),
    Setting("performance: auto of batch 8 x 8", _batch(8, 8), performance="auto"),
    Setting("performance: auto of batch 8 x 16", _batch(8, 16), performance="auto", models=("1b",)),
    Setting("published example", method="qlora"),
    Setting("performance: auto", method="qlora", performance="auto"),
    Setting("published example", {"learning_rate": 1.0e-5}, method="full", models=("1b",)),
    Setting("performance: auto", {"learning_rate": 1.0e-5}, method="full", performance="auto", models=("1b",)),
)


def of(model: str) -> Iterator[Setting]:
    """The lines of a model; a folder given by hand gets all of them."""
    yield from (setting for setting in SETTINGS if model not in SHAPES or model in setting.models)
