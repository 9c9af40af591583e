"""config.json as architecture numbers, under one set of names for all model families."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools.errors import UsageError
from tools.formats.model import Architecture
from tools.models import weights

Config = Mapping[str, Any]

# The part about text in a config of several kinds of input.
_TEXT_PARTS = ("text_config", "llm_config", "language_config")
# Our name -> the families' names for it (llama, qwen, mistral, gemma, phi3 | gpt2, gpt-neox, falcon, mixtral, ...).
_NAMES: Mapping[str, tuple[str, ...]] = {
    "hidden_size": ("hidden_size", "n_embd", "d_model"),
    "intermediate_size": ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size", "moe_intermediate_size"),
    "num_hidden_layers": ("num_hidden_layers", "n_layer", "num_layers"),
    "num_attention_heads": ("num_attention_heads", "n_head", "num_heads"),
    "vocab_size": ("vocab_size",),
    "max_position_embeddings": ("max_position_embeddings", "n_positions", "max_sequence_length"),
}
_KEY_VALUE_HEADS = ("num_key_value_heads", "num_kv_heads")
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")


def read(folder: Path, tensors: weights.Tensors) -> Architecture:
    """The architecture of a model with these tensors.

    Raises:
        UsageError: config.json is missing, is of no language model, or lacks a number.
    """
    path = folder / "config.json"
    whole = _load(path)
    if whole.get("quantization_config"):
        raise UsageError(
            f"{path} has quantization_config; allowed: models without quantisation; take the original: `method: qlora` "
            "quantises by itself"
        )
    config = _text_part(whole)
    numbers = {name: _number(config, names, path) for name, names in _NAMES.items()}
    heads = numbers["num_attention_heads"]
    tied = _tied(whole, config, tensors)
    modules = weights.linear_modules(tensors, tied=tied)
    if not modules:
        raise UsageError(f"{path}: the weights hold no linear layers that LoRA could target; take a transformer model")
    return Architecture(
        model_type=str(config.get("model_type") or whole.get("model_type") or "unknown"),
        **numbers,
        num_key_value_heads=_optional(config, _KEY_VALUE_HEADS, heads),
        head_dim=_optional(config, ("head_dim",), numbers["hidden_size"] // heads),
        tie_word_embeddings=tied,
        parameters=weights.parameters(tensors, tied=tied),
        num_experts=_optional(config, _EXPERTS, 1),
        linear_modules=modules,
    )


def _load(path: Path) -> Config:
    try:
        config = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise UsageError(f"{path} is missing; download the whole model") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} cannot be read: {error}; download it again") from error
    if not isinstance(config, dict):
        raise UsageError(f"{path} is no JSON object; download it again")
    return config


def _text_part(config: Config) -> Config:
    parts = (config.get(name) for name in _TEXT_PARTS)
    return next((part for part in parts if isinstance(part, dict)), config)


def _number(config: Config, names: tuple[str, ...], path: Path) -> int:
    found = _optional(config, names, 0)
    if found < 1:
        raise UsageError(
            f"{path} has no {names[0]} (nor {', '.join(names[1:]) or 'another name for it'}); allowed: a whole number above "
            "0; complete it from the model's documentation"
        )
    return found


def _optional(config: Config, names: tuple[str, ...], default: int) -> int:
    values = (config.get(name) for name in names)
    return next((value for value in values if type(value) is int), default)


def _tied(whole: Config, config: Config, tensors: weights.Tensors) -> bool:
    """Families have different defaults, so where the config is silent the tensors decide."""
    for part in (config, whole):
        if isinstance(part.get("tie_word_embeddings"), bool):
            return bool(part["tie_word_embeddings"])
    return not weights.has_head(tensors)
