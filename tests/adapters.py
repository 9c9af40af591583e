"""Adapters for the random Llama of tests/runs.py, written without peft: random pairs for some of its layers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.runs import HIDDEN, LAYERS, write_tensors

PREFIX = "base_model.model."
CONFIG: dict[str, Any] = {
    "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 8, "bias": "none", "target_modules": ["q_proj", "o_proj"],
}  # fmt: skip


def shapes(rank: int = 4) -> dict[str, tuple[int, ...]]:
    """The tensors of a pair for each targeted layer."""
    found: dict[str, tuple[int, ...]] = {}
    for layer in range(LAYERS):
        for name in ("q_proj", "o_proj"):
            module = f"{PREFIX}model.layers.{layer}.self_attn.{name}"
            found |= {f"{module}.lora_A.weight": (rank, HIDDEN), f"{module}.lora_B.weight": (HIDDEN, rank)}
    return found


def write_adapter(folder: Path, tensors: dict[str, tuple[int, ...]] | None = None, **config: Any) -> Path:
    """Write configuration and weights and return the folder; `config` changes keys."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps({**CONFIG, **config}, indent=1), encoding="utf-8")
    write_tensors(folder / "adapter_model.safetensors", tensors or shapes())
    return folder
