"""LLaMA Factory called in this process: its arguments from the lock, its surroundings kept offline and out of the way."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner import tokenised
from runner.probe import choice
from runner.ranks import world
from runner.signals import Sigterm
from runner.storage import Paths

if TYPE_CHECKING:  # it imports torch
    from runner.callback import RunCallback


def sharding(preset: Mapping[str, Any]) -> dict[str, str]:
    """What `accelerate launch` would set for the `fsdp_config` of tools/sharding.py.

    LLaMA Factory and transformers ask for it when they load the weights, before the trainer has read the preset. The full state
    dict is what the merge and a resumed run read.
    """
    return {
        "ACCELERATE_USE_FSDP": "true",
        "FSDP_VERSION": str(preset["version"]),
        "FSDP_CPU_RAM_EFFICIENT_LOADING": str(preset["cpu_ram_efficient_loading"]).lower(),
        "FSDP_SYNC_MODULE_STATES": str(preset["sync_module_states"]).lower(),
        "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT",
    }


def surroundings(scratch: Path) -> dict[str, str]:
    """Environment that must stand before transformers is imported: no model hub, caches where this process may write."""
    return {
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "WANDB_DISABLED": "true",
        "HF_HOME": str(scratch / "huggingface"),
        "HF_DATASETS_CACHE": str(scratch / "datasets"),
    }


def arguments(paths: Paths, scratch: Path, resume: Path | None) -> dict[str, Any]:
    """LLaMA Factory's arguments: the lock's settings, what the probe chose, then everything that the platform owns."""
    lock = paths.lock
    return {
        "disable_tqdm": True,
        # Counts what the model really reads; costs one sum a batch.
        "include_num_input_tokens_seen": "non_padding",
        **lock.run.settings,
        **choice.settings(paths),
        "model_name_or_path": str(paths.base_model),
        "dataset": ",".join(dataset.name for dataset in lock.run.datasets),
        "dataset_dir": str(scratch),
        "output_dir": str(paths.writing),
        "save_total_limit": None,  # runner.saving removes old checkpoints: the trainer goes by the times of files
        "run_name": lock.run_id,
        "report_to": "none",
        # The trainer would log the mean of earlier losses in place of one that is no number, and wait for the GPU to look.
        "logging_nan_inf_filter": False,
        "overwrite_cache": True,
        "trust_remote_code": False,
        "push_to_hub": False,
        # Never None: LLaMA Factory would pick a checkpoint by itself, complete or not.
        "resume_from_checkpoint": str(resume) if resume else False,
    }


def dataset_info(paths: Paths) -> dict[str, Any]:
    """dataset_info.json: each dataset by its absolute path, read as the lock says."""
    entries = {}
    for dataset in paths.lock.run.datasets:
        entry: dict[str, Any] = {"file_name": str(paths.dataset(dataset).resolve()), "formatting": dataset.format}
        if dataset.ranking:
            entry["ranking"] = True
        # An empty mapping would set every column to none; absent means LLaMA Factory's own names.
        entry |= {name: value for name, value in (("columns", dataset.columns), ("tags", dataset.tags)) if value}
        entries[dataset.name] = entry
    return entries


def train(paths: Paths, scratch: Path, resume: Path | None, callback: RunCallback | None, sigterm: Sigterm) -> None:
    """Train to the end, into the checkpoints folder. Raises whatever LLaMA Factory and the callback raise.

    callback: of the rank that writes; None on the others.
    """
    scratch = _common(scratch)
    temporary = scratch / f".dataset_info-{os.getpid()}.json"
    temporary.write_text(json.dumps(dataset_info(paths)), encoding="utf-8")
    temporary.replace(scratch / "dataset_info.json")
    if paths.lock.run.settings.get("fsdp"):
        os.environ.update(sharding(paths.lock.run.settings["fsdp_config"]))
    callbacks: list[Any] = [] if callback is None else [callback]
    if world.is_worker():
        from runner.ranks.together import join

        callbacks.append(join(resume, sigterm))
    from llamafactory.train.tuner import run_exp

    from runner.float32 import Float32OnCpu
    from runner.guard import Guard
    from runner.keeping import KeepTokenised
    from runner.kernels import install

    guard, rows = Guard(paths.lock.run.settings["stage"]), tokenised.cache(paths, scratch)
    together = [*callbacks, guard, Float32OnCpu(), KeepTokenised(paths, rows), *install.callbacks(paths)]
    run_exp({**arguments(paths, scratch, resume), **tokenised.settings(rows)}, callbacks=together)


def prepare(scratch: Path) -> None:
    """Set the environment; call it before anything imports transformers."""
    os.environ.update(surroundings(_common(scratch)))


def _common(scratch: Path) -> Path:
    """Ranks of a pod share one scratch folder, so that rows are tokenised once."""
    return Path(os.environ[world.FOLDER]) if world.is_worker() else scratch
