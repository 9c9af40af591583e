"""What LLaMA Board saves of its form (`llamaboard_config.yaml`: `top.model_name`, `train.learning_rate`, ...) as LLaMA Factory's arguments.

Source: llamafactory/webui/runner.py, `_parse_train_args`, which does the same before it starts a run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

STAGES = {
    "Supervised Fine-Tuning": "sft",
    "Reward Modeling": "rm",
    "PPO": "ppo",
    "DPO": "dpo",
    "KTO": "kto",
    "Pre-Training": "pt",
}
_RENAMED = {
    "top.model_name": "model_name_or_path",
    "top.checkpoint_path": "adapter_name_or_path",
    "train.training_stage": "stage",
    "train.batch_size": "per_device_train_batch_size",
    "train.neftune_alpha": "neftune_noise_alpha",
    "train.use_pissa": "pissa_init",
}
_BOOSTERS: dict[str, dict[str, Any]] = {
    "flashattn2": {"flash_attn": "fa2"},
    "unsloth": {"use_unsloth": True},
    "liger_kernel": {"enable_liger_kernel": True},
}
_TYPED_AS_TEXT = {
    "learning_rate": float,
    "num_train_epochs": float,
    "max_grad_norm": float,
    "max_samples": int,
    "quantization_bit": int,
}
# Values that only count when something else is switched on: prefix -> (key, values that switch it on).
_DEPENDENT = {
    "galore_": ("train.use_galore", (True,)),
    "apollo_": ("train.use_apollo", (True,)),
    "badam_": ("train.use_badam", (True,)),
    "swanlab_": ("train.use_swanlab", (True,)),
    "pref_": ("train.training_stage", ("DPO", "KTO")),
    "ppo_": ("train.training_stage", ("PPO",)),
    "reward_model": ("train.training_stage", ("PPO",)),
    "lora": ("top.finetuning_type", ("lora",)),
    "freeze_": ("top.finetuning_type", ("freeze",)),
    "quantization_method": ("top.quantization_bit", ("4", "8", 4, 8)),
    "image_": ("", ()),
    "video_": ("", ()),
}
_OFF_AT_ZERO = frozenset({"neftune_alpha", "val_size", "loraplus_lr_ratio"})
_FORM_ONLY = frozenset(
    {
        "lang",
        "hub_name",
        "model_path",
        "output_dir",
        "config_path",
        "ds_stage",
        "ds_offload",
        "booster",
        "compute_type",
        "extra_args",
        "device_count",
        "current_time",
    }
)


def is_board(data: Mapping[str, Any]) -> bool:
    """Whether these are the board's fields instead of LLaMA Factory's arguments."""
    return any(key.startswith(("top.", "train.")) for key in data)


def flatten(data: Mapping[str, Any]) -> dict[str, tuple[str, Any]]:
    """LLaMA Factory's argument -> (the board's field, value); what the form left empty is left out.

    Raises:
        ValueError: the form's extra arguments are no JSON object.
    """
    found: dict[str, tuple[str, Any]] = {"do_train": ("train.training_stage", True)}
    for field, value in data.items():
        name = field.partition(".")[2]
        if name not in _FORM_ONLY and not _empty(value) and _counts(name, data):
            argument = _RENAMED.get(field, name)
            found[argument] = (field, _value(argument, value))
    found |= {key: ("top.booster", value) for key, value in _BOOSTERS.get(str(data.get("top.booster")), {}).items()}
    if (compute := str(data.get("train.compute_type"))) in {"bf16", "fp16", "pure_bf16"}:
        found[compute] = ("train.compute_type", True)
    if data.get("train.ds_stage", "none") != "none":
        found["deepspeed"] = ("train.ds_stage", f"stage {data['train.ds_stage']}")
    return found | {key: ("train.extra_args", value) for key, value in _extra(data).items()}


def _extra(data: Mapping[str, Any]) -> dict[str, Any]:
    text = data.get("train.extra_args") or "{}"
    try:
        extra = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        extra = None
    if not isinstance(extra, dict) or any(isinstance(item, list | dict) for item in _inside(extra)):
        raise ValueError("train.extra_args is no JSON object of plain values")
    return extra


def _inside(extra: Mapping[str, Any]) -> Iterator[Any]:
    """What stands in the lists and mappings of an object: arguments nest no deeper."""
    for value in extra.values():
        if isinstance(value, list | dict):
            yield from value.values() if isinstance(value, dict) else value


def _empty(value: Any) -> bool:
    return value is None or value is False or value in ("", [], "none")


def _counts(name: str, data: Mapping[str, Any]) -> bool:
    if name in _OFF_AT_ZERO and not data.get(f"train.{name}"):
        return False
    dependent = (data.get(field) in values for prefix, (field, values) in _DEPENDENT.items() if name.startswith(prefix))
    return next(dependent, True)


def _value(argument: str, value: Any) -> Any:
    if argument == "stage":
        return STAGES.get(str(value), value)
    number = _TYPED_AS_TEXT.get(argument)
    if number is not None and isinstance(value, str):
        try:
            return number(value)
        except ValueError:
            return value
    return value
