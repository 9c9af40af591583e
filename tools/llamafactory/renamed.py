"""Keys of older LLaMA Factory and transformers configs that the pinned version refuses, and what to write instead.

Written by hand from the histories of both packages. Only keys that the pinned parser does not know belong here; a test
holds every old name against `arguments.json`. Keys that still work but are on their way out (`warmup_ratio`) are marked
`deprecated` there instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Renamed(NamedTuple):
    """What became of an old key.

    `new` is the key that takes the old value unchanged, None where the value changes too or nothing replaces the key.
    """

    new: str | None
    remedy: str


def _moved(new: str) -> Renamed:
    return Renamed(new, f"write `{new}` instead, with the same value")


_CUTOFF = Renamed(None, "write `cutoff_len`: prompt and answer share one limit now")
_KT = Renamed(None, "remove it: KTransformers is switched on by `use_kt` and set up by the kt_ keys now")
_RAY = Renamed(None, "remove it: the pinned LLaMA Factory no longer has it, and the platform places the workers")
_DERIVED = "LLaMA Factory works it out itself"
_PRECISION = Renamed(None, "remove it and write `bf16: true` or `fp16: true`")
_PREF_BETA = _moved("pref_beta")
_BATCHES = Renamed(None, "remove it: it belongs into the mapping `accelerator_config`")
_FSDP = Renamed(None, "remove it: it belongs into the mapping `fsdp_config`")
_HUB = Renamed(None, "remove it: nothing is pushed to a hub")

RENAMED: Mapping[str, Renamed] = {
    # LLaMA Factory: renamed or removed between 0.1 and 0.9.5.
    "checkpoint_dir": _moved("adapter_name_or_path"),
    "name_module_trainable": _moved("freeze_trainable_modules"),
    "num_layer_trainable": _moved("freeze_trainable_layers"),
    "sft_packing": _moved("packing"),
    "cache_path": _moved("tokenized_path"),
    "dpo_beta": _PREF_BETA,
    "orpo_beta": _PREF_BETA,
    "kto_beta": _PREF_BETA,
    "dpo_ftx": _moved("pref_ftx"),
    "dpo_loss": _moved("pref_loss"),
    "max_source_length": _CUTOFF,
    "max_target_length": _CUTOFF,
    "reserved_label_len": _CUTOFF,
    "system_prompt": _moved("default_system"),
    "lora_bf16_mode": Renamed(None, "write `pure_bf16: true`, or remove it"),
    "use_flash_attn": Renamed(None, "write `flash_attn: fa2`, or remove it and leave the choice to LLaMA Factory"),
    "ppo_logger": _moved("report_to"),
    "split": Renamed(None, "remove it: a dataset's manifest names its file"),
    "visual_inputs": Renamed(None, "remove it: the template decides whether a model takes media"),
    "train_mm_proj_only": Renamed(
        None,
        "write `freeze_multi_modal_projector: false` and `freeze_language_model: true`, and keep the vision tower frozen",
    ),
    "image_resolution": Renamed(None, "write `image_max_pixels`: the number of pixels, width times height"),
    "video_resolution": Renamed(None, "write `video_max_pixels`: the number of pixels, width times height"),
    "use_ktransformers": _KT,
    "kt_optimize_rule": _KT,
    "cpu_infer": _KT,
    "placement_strategy": _RAY,
    "ray_run_name": _RAY,
    "ray_storage_filesystem": _RAY,
    "ray_storage_path": _RAY,
    "resources_per_worker": _RAY,
    # Fields that LLaMA Factory fills itself; its parser refuses them in a config.
    "block_diag_attn": Renamed(None, "write `neat_packing: true` instead"),
    "compute_dtype": Renamed(None, f"remove it: {_DERIVED} from `bf16` and `fp16`"),
    "device_map": Renamed(None, f"remove it: {_DERIVED}"),
    "model_max_length": _moved("cutoff_len"),
    # transformers: gone in or before 5.0.
    "evaluation_strategy": _moved("eval_strategy"),
    "per_gpu_eval_batch_size": _moved("per_device_eval_batch_size"),
    "per_gpu_train_batch_size": _moved("per_device_train_batch_size"),
    "no_cuda": _moved("use_cpu"),
    "include_tokens_per_second": _moved("include_effective_tokens_per_second"),
    "include_inputs_for_metrics": Renamed(None, "write `include_for_metrics: [inputs]`"),
    "group_by_length": Renamed(None, "write `train_sampling_strategy: group_by_length`"),
    "adafactor": Renamed(None, "write `optim: adafactor`"),
    "torchdynamo": _moved("torch_compile_backend"),
    "fp16_backend": _PRECISION,
    "fp16_opt_level": _PRECISION,
    "half_precision_backend": _PRECISION,
    "save_safetensors": Renamed(None, "remove it: weights are always saved as safetensors"),
    "use_mps_device": Renamed(None, "remove it: the device is found by itself"),
    "dispatch_batches": _BATCHES,
    "split_batches": _BATCHES,
    "fsdp_min_num_params": _FSDP,
    "fsdp_transformer_layer_cls_to_wrap": _FSDP,
    "push_to_hub_model_id": _HUB,
    "push_to_hub_organization": _HUB,
    "push_to_hub_token": _HUB,
    "jit_mode_eval": Renamed(None, "remove it: transformers no longer has it"),
    "past_index": Renamed(None, "remove it: transformers no longer has it"),
    "ray_scope": Renamed(None, "remove it: transformers no longer has it"),
    "tpu_num_cores": Renamed(None, "remove it: transformers no longer has it"),
    "use_ipex": Renamed(None, "remove it: transformers no longer has it"),
    "use_legacy_prediction_loop": Renamed(None, "remove it: transformers no longer has it"),
    # Common slips of people who come from peft or other trainers.
    "lora_r": _moved("lora_rank"),
    "target_modules": _moved("lora_target"),
    "torch_dtype": _PRECISION,
    "max_seq_length": _moved("cutoff_len"),
}
