"""The model that is published: base and adapter merged by LLaMA Factory, or the trained model itself for method full."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from runner import trainer
from runner.completion import Completion
from runner.exits import RunnerError
from runner.sizes import tensors
from runner.storage import Paths, scratch_folder

SHARD_GB = 5
# Settings that change the tokenizer or the model's configuration, so that the merged model needs them too. Quantisation is not
# among them: an adapter is merged into the base as it is stored (LLaMA Factory cannot merge into a quantised one).
KEPT_SETTINGS = (
    "stage", "finetuning_type", "template", "resize_vocab", "add_tokens", "add_special_tokens", "new_special_tokens_config",
    "init_special_tokens", "split_special_tokens", "use_fast_tokenizer", "rope_scaling", "default_system", "tool_format",
    "enable_thinking",
)  # fmt: skip


def build(paths: Paths, proof: Completion, folder: Path) -> None:
    """Write the model's files into `folder`.

    Raises:
        RunnerError: what was written is incomplete. OSError and LLaMA Factory's own errors pass through.
    """
    if paths.lock.run.settings["finetuning_type"] == "full":
        for name in proof.files:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(paths.adapter / name, target)
    else:
        _merge(paths, folder)
    check(folder)


def arguments(paths: Paths, folder: Path) -> dict[str, Any]:
    """LLaMA Factory's arguments for the merge (examples/merge_lora in its repository)."""
    lock = paths.lock
    kept = {name: lock.run.settings[name] for name in KEPT_SETTINGS if name in lock.run.settings}
    return {
        **kept,
        "model_name_or_path": str(paths.base_model),
        "adapter_name_or_path": str(paths.adapter),
        "export_dir": str(folder),
        "export_size": SHARD_GB,
        "export_device": "cpu",
        "infer_dtype": lock.run.model.dtype,
        "trust_remote_code": False,
    }


def check(folder: Path) -> None:
    """Make sure that everything a server loads is there and whole.

    LLaMA Factory only warns when it cannot save the tokenizer, for instance because the disk is full.

    Raises:
        RunnerError: names the file.
    """
    weights = list(folder.glob("*.safetensors"))
    missing = [name for name in ("config.json", "tokenizer_config.json") if not (folder / name).is_file()]
    if not weights:
        missing.append("*.safetensors")
    if missing:
        raise RunnerError(
            f"{folder}: {', '.join(missing)} missing after the merge", "read LLaMA Factory's output above"
        )
    try:
        for file in weights:
            list(tensors(file))
        for file in folder.glob("*.json"):
            json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunnerError(f"{folder}: damaged after the merge: {error}", "publish again") from error


def _merge(paths: Paths, folder: Path) -> None:
    with scratch_folder() as scratch:
        trainer.prepare(scratch)
        from llamafactory.train.tuner import export_model

        export_model(arguments(paths, folder))
