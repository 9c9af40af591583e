"""Keys that the platform sets are not written under `train:`.

Paths, data, the model, logging, distribution and everything that would reach out of the Job follow from the rest of the
experiment or from the environment. A run's folder follows from its id; two runs can never share one.

Fails:

    train:
      output_dir: /tmp/out          # storage/output/lora-adapter/<run id>/
      template: llama3              # the base model's, in catalog/models/
      trust_remote_code: true       # never

Passes:

    model: smollm2-135m-instruct
    datasets: [support-pl]
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tools.findings import Finding, quote
from tools.llamafactory.table import arguments
from tools.rules.subject import Subject
from tools.rules.train import Refusal, refusals

ID = "train-platform-key"
KIND = "experiment"
NEEDS = ("train",)

_RUN_FOLDER = "the run id names the output folder"
_CATALOGUE = "`model:` names a base model, whose entry in catalog/models/ sets it"
_DATASETS = "`datasets:` names the data; `val_size` holds rows out for evaluation"
_MLFLOW = "the platform logs to the environment's MLflow"
_NOWHERE = "nothing leaves the platform: the model is published as `publish:` says"
_CACHE = "the platform keeps caches and temporary files on the Job's own disk"
_DISTRIBUTION = "`resources:` sets GPUs and nodes, the platform starts the workers"
_REFERENCE = "the platform compares with the base model itself"
_MEDIA = "datasets with images, audio or video are not supported yet"
_PUBLISH = "`publish:` merges and exports the model after training"
_PROFILER = "the platform measures runs itself"
_INFERENCE = "an external server serves the published model"

OWNERS: dict[str, str] = {
    "stage": "`stage:` of the experiment sets it",
    "finetuning_type": "`method:` of the experiment sets it",
    "do_train": "the platform trains always",
    "do_predict": "the published model is evaluated after training",
    "predict_with_generate": "the published model is evaluated after training",
    "generation_config": "the published model is evaluated after training",
    **dict.fromkeys(("output_dir", "overwrite_output_dir", "logging_dir"), _RUN_FOLDER),
    **dict.fromkeys(
        ("resume_from_checkpoint", "restore_callback_states_from_checkpoint"), "raise `attempt:` to resume"
    ),
    **dict.fromkeys(("model_name_or_path", "model_revision", "template", "new_special_tokens_config"), _CATALOGUE),
    **dict.fromkeys(("adapter_name_or_path", "adapter_folder"), "start from a model of catalog/models/ instead"),
    **dict.fromkeys(("dataset", "dataset_dir", "eval_dataset"), _DATASETS),
    **dict.fromkeys(("report_to", "run_name", "project"), _MLFLOW),
    **dict.fromkeys(("trackio_space_id", "trackio_bucket_id", "trackio_static_space_id"), _MLFLOW),
    **dict.fromkeys(("push_to_hub", "hf_hub_token", "ms_hub_token", "om_hub_token"), _NOWHERE),
    **dict.fromkeys(("cache_dir", "tokenized_path", "overwrite_cache", "offload_folder"), _CACHE),
    "data_shared_file_system": _CACHE,
    "media_dir": _MEDIA,
    **dict.fromkeys(("deepspeed", "fsdp", "fsdp_config", "accelerator_config", "parallelism_config"), _DISTRIBUTION),
    **dict.fromkeys(("hyper_parallel_args", "local_rank", "ddp_backend", "quantization_device_map"), _DISTRIBUTION),
    "use_cpu": "`resources: {gpus: 0}` trains on the CPU",
    "trust_remote_code": "the platform runs no code from models",
    **dict.fromkeys(("ref_model", "ref_model_adapters", "ref_model_quantization_bit"), _REFERENCE),
    **dict.fromkeys(("reward_model", "reward_model_adapters", "reward_model_quantization_bit"), "PPO is not supported"),
    "reward_model_type": "PPO is not supported",
    "print_param_status": "`ft plan` counts the trainable parameters",
    **dict.fromkeys(("kt_weight_path", "kt_expert_checkpoint_path"), _CATALOGUE),
    **dict.fromkeys(("infer_backend", "infer_dtype"), _INFERENCE),
}
GROUPS: dict[str, str] = {
    "RayArguments": _DISTRIBUTION,
    "SwanLabArguments": _MLFLOW,
    "ExportArguments": _PUBLISH,
    "VllmArguments": _INFERENCE,
    "SGLangArguments": _INFERENCE,
    "ProfilerArguments": _PROFILER,
    "ProcessorArguments": _MEDIA,
}
PREFIXES: dict[str, str] = {"hub_": _NOWHERE}


def owner_of(key: str) -> str | None:
    """Where the platform sets a known key, or None when the author may set it."""
    argument = arguments().get(key)
    if argument is None:
        return None
    by_prefix = next((where for prefix, where in PREFIXES.items() if key.startswith(prefix)), None)
    return OWNERS.get(key) or GROUPS.get(argument.group) or by_prefix


def judge(key: str, _value: Any) -> Refusal | None:
    """Refuse a key that the platform owns."""
    where = owner_of(key)
    return Refusal(f"{quote(key)} is the platform's: {where}", None, "remove it", at_key=True) if where else None


def check(subject: Subject) -> Iterator[Finding]:
    """Yield what `judge` refused."""
    yield from refusals(subject, ID)
