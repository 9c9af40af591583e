"""Tiny models and adapters for the tests of the merge, made by transformers and peft, and the distance of two stored tensors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)

SIZES: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 72, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "vocab_size": 80, "max_position_embeddings": 64, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
FAMILIES: dict[str, Callable[..., Any]] = {
    "llama": LlamaConfig,
    "qwen2": Qwen2Config,
    "qwen3": lambda **sizes: Qwen3Config(**sizes, head_dim=8),
    "gemma2": lambda **sizes: Gemma2Config(**sizes, head_dim=8),
    "gemma3": lambda **sizes: Gemma3TextConfig(**sizes, head_dim=8),
    "mistral": lambda **sizes: MistralConfig(**sizes, head_dim=8),
    "phi3": Phi3Config,
    "gpt2": lambda **_: GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=64, vocab_size=80),
}
INTEGERS = {torch.bfloat16: torch.int16, torch.float16: torch.int16, torch.float32: torch.int32}


def make_base(folder: Path, family: str = "llama", dtype: torch.dtype = torch.bfloat16, **config: Any) -> Path:
    """A model with random weights in three shards or so; biases and norms are random too."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(FAMILIES[family](**SIZES, **config))
    _disturb(model.named_parameters(), 0.05)
    model.to(dtype).save_pretrained(folder, max_shard_size="40KB")
    return folder


def make_adapter(folder: Path, base: Path, *, rows: int | None = None, **config: Any) -> Path:
    """An adapter with random weights everywhere, saved by peft; `rows` resizes the vocabulary first."""
    model = _load(base)
    if rows:
        model.resize_token_embeddings(rows)
    torch.manual_seed(1)
    trained = get_peft_model(model, LoraConfig(**{"r": 4, "lora_alpha": 6, "task_type": "CAUSAL_LM", **config}))
    for name, parameter in trained.named_parameters():
        if parameter.requires_grad:
            spread = 0.02 if "magnitude" in name else 0.1
            parameter.data = parameter.data.float() + spread * torch.randn(parameter.shape)
    trained.save_pretrained(str(folder))
    return folder


def merged_by_peft(base: Path, adapter: Path, rows: int | None = None) -> PreTrainedModel:
    """What peft makes of it, in memory."""
    model = _load(base)
    if rows:
        model.resize_token_embeddings(rows)
    merged: PreTrainedModel = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    return merged


def stored(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of all files of a folder."""
    return {name: tensor for file in sorted(folder.glob("*.safetensors")) for name, tensor in load_file(file).items()}


def units(first: torch.Tensor, second: torch.Tensor) -> int:
    """The largest distance of two tensors of one type, in units in the last place: how many numbers lie between."""
    assert first.dtype == second.dtype
    assert first.shape == second.shape
    return int((_ordered(first) - _ordered(second)).abs().max())


def _ordered(tensor: torch.Tensor) -> torch.Tensor:
    """Stored bits as whole numbers in the order of the values; -0 and 0 are the same."""
    bits = tensor.contiguous().view(INTEGERS[tensor.dtype]).long()
    lowest = -(2 ** (8 * tensor.element_size() - 1))
    return torch.where(bits < 0, lowest - bits, bits)


def _load(folder: Path) -> PreTrainedModel:
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    return model


def _disturb(parameters: Any, spread: float) -> None:
    for _, parameter in parameters:
        parameter.data += spread * torch.randn(parameter.shape)
