"""The adapter's folder: what peft's configuration asks for, and its tensors sorted by what they do to the base.

Names and their meaning follow peft's `get_peft_model_state_dict` (peft/utils/save_and_load.py, version 0.18).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runner.exits import BadSpec, Mismatch
from runner.merge import headers
from runner.merge.base import read_json
from runner.merge.headers import Tensor

WEIGHTS = "adapter_model.safetensors"
PICKLE = "adapter_model.bin"
CONFIG = "adapter_config.json"
PREFIX = "base_model.model."
# What changes nothing about the merge, or is handled below.
_HANDLED = {
    "alpha_pattern", "base_model_name_or_path", "bias", "exclude_modules", "fan_in_fan_out", "init_lora_weights", "lora_alpha",
    "lora_bias", "lora_dropout", "modules_to_save", "peft_type", "r", "rank_pattern", "target_modules", "task_type", "use_dora",
    "use_rslora", "auto_mapping", "inference_mode", "revision", "layers_to_transform", "layers_pattern", "loftq_config",
    "trainable_token_indices", "qalora_group_size", "peft_version", "megatron_core", "ensure_weight_tying", "corda_config",
    "eva_config", "runtime_config",
}  # fmt: skip
_LARGEST = 1e30  # of rank and alpha: their quotient must be a 32-bit number
_INITIAL = (True, False, "gaussian")
_PARTS = {
    "lora_A.weight": "a", "lora_B.weight": "b", "lora_B.bias": "b_bias", "lora_magnitude_vector": "magnitude",
    "lora_magnitude_vector.weight": "magnitude", "lora_embedding_A": "embedding_a", "lora_embedding_B": "embedding_b",
}  # fmt: skip
_PART = re.compile(rf"(?P<module>.+)\.(?P<part>{'|'.join(map(re.escape, _PARTS))})")
_ROWS = ".token_adapter.trainable_tokens_delta"
_BASE_LAYER = ".base_layer."
_TWIN = ".modules_to_save."
_ORIGINAL = ".original_module."  # the base's values, which modules_to_save replaced
_REMEDY = "merge it with peft in a session of its own, or train again without it"


@dataclass(frozen=True, slots=True)
class Adapter:
    """The tensors by what they do; the weights themselves are not read.

    modules: module of the base -> part (a, b, b_bias, magnitude, embedding_a, embedding_b) -> tensor.
    values: parameter of the base -> tensor that stands in its place.
    rows: parameter of the base -> tensor with new values of some of its rows.
    copies: parameter of the base -> tensor that peft saved beside a LoRA pair; must equal the base's.
    twins: parameter of the base -> the same values as in `values`, which peft saves a second time for a resized vocabulary.
    """

    folder: Path
    config: dict[str, Any]
    tensors: dict[str, Tensor]
    modules: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    values: dict[str, Tensor] = field(default_factory=dict)
    rows: dict[str, Tensor] = field(default_factory=dict)
    copies: dict[str, Tensor] = field(default_factory=dict)
    twins: dict[str, Tensor] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        """The weights."""
        return self.folder / WEIGHTS

    def scale(self, module: str, rank: int) -> float:
        """The factor of B A: alpha / r, or alpha / sqrt(r) for rsLoRA (arXiv:2312.03732)."""
        alpha = _by_pattern(self.config.get("alpha_pattern"), module, self.config["lora_alpha"])
        return float(alpha / rank**0.5 if self.config.get("use_rslora") else alpha / rank)

    def rank(self, module: str) -> int:
        """The rank that the configuration gives a module."""
        return int(_by_pattern(self.config.get("rank_pattern"), module, self.config["r"]))

    def targets(self, module: str) -> bool:
        """Whether peft would load a LoRA pair into this module."""
        wanted = self.config["target_modules"]
        if isinstance(wanted, str):
            return wanted == "all-linear" or re.fullmatch(wanted, module) is not None
        return any(module == name or module.endswith(f".{name}") for name in wanted)


def load(folder: Path) -> Adapter:
    """Read configuration and header.

    Raises:
        Mismatch: a file is missing or damaged.
        BadSpec: the adapter asks for what cannot be merged exactly; the message names it.
    """
    config = read_json(folder / CONFIG)
    _check_config(folder / CONFIG, config)
    if not (folder / WEIGHTS).exists() and (folder / PICKLE).exists():
        raise BadSpec(f"{folder / PICKLE} is a pickle; allowed: {WEIGHTS}", "save the adapter as safetensors")
    adapter = Adapter(folder, config, headers.read(folder / WEIGHTS).tensors)
    for name, tensor in adapter.tensors.items():
        _sort(adapter, name, tensor)
    return adapter


def refuse(where: object, what: str) -> BadSpec:
    """The refusal of what cannot be merged exactly."""
    return BadSpec(f"{where}: cannot be merged exactly: {what}", _REMEDY)


def _check_config(file: Path, config: dict[str, Any]) -> None:
    kind = config.get("peft_type")
    if kind != "LORA":
        raise refuse(file, f"peft_type {str(kind)[:40]}; allowed: LORA")
    for name, value in config.items():
        if name not in _HANDLED and value:
            raise refuse(file, f"{name}: {str(value)[:80]}")
    initial = config.get("init_lora_weights", True)
    if initial not in _INITIAL:
        raise refuse(
            file, f"init_lora_weights: {initial}, which changes the base; convert the adapter to plain LoRA first"
        )
    _check_values(file, config)


def _check_values(file: Path, config: dict[str, Any]) -> None:
    for name in ("r", "lora_alpha"):
        if type(config.get(name)) not in {int, float} or not 0 < config[name] < _LARGEST:
            raise Mismatch(f"{file}: {name} is {config.get(name)!r}; allowed: a positive number", "train again")
    if config.get("bias", "none") not in {"none", "all", "lora_only"}:
        raise Mismatch(f"{file}: bias is {config['bias']!r}; allowed: none, all, lora_only", "train again")
    targets = config.get("target_modules")
    if not isinstance(targets, str) and not (
        isinstance(targets, list) and all(isinstance(name, str) for name in targets)
    ):
        raise Mismatch(
            f"{file}: target_modules is {str(targets)[:80]}; allowed: a pattern or a list of names", "train again"
        )
    for name in ("rank_pattern", "alpha_pattern"):
        if not isinstance(config.get(name) or {}, dict):
            raise Mismatch(f"{file}: {name} is no mapping of patterns to numbers", "train again")


def _sort(adapter: Adapter, name: str, tensor: Tensor) -> None:
    rest = name.removeprefix(PREFIX)
    if rest == name:
        raise refuse(adapter.file, f"tensor {name}: its name does not begin with {PREFIX}")
    match = _PART.fullmatch(rest)
    if _ORIGINAL in rest:
        return
    if _TWIN in rest:
        adapter.twins[rest.replace(_TWIN, ".")] = tensor
    elif match:
        part, module = _PARTS[match["part"]], match["module"]
        if _BASE_LAYER in f"{module}.":
            raise refuse(adapter.file, f"tensor {name} belongs to target_parameters (fused experts)")
        adapter.modules.setdefault(module, {})[part] = tensor
    elif rest.endswith(_ROWS):
        adapter.rows[rest.removesuffix(_ROWS) + ".weight"] = tensor
    elif rest.endswith(".base_layer.weight"):
        adapter.copies[rest.replace(_BASE_LAYER, ".")] = tensor
    elif "lora_" in rest:
        raise refuse(adapter.file, f"tensor {name} is of no known kind")
    else:
        adapter.values[rest.replace(_BASE_LAYER, ".")] = tensor


def _by_pattern(patterns: dict[str, Any] | None, module: str, default: Any) -> Any:
    """The first pattern that fits the end of the module's name, as peft's `get_pattern_key` has it."""
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return default
