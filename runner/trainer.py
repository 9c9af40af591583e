"""LLaMA Factory called in this process: its arguments from the lock, its surroundings kept offline and out of the way."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.storage import Paths

if TYPE_CHECKING:  # it imports torch
    from runner.callback import RunCallback


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
    """LLaMA Factory's arguments: the lock's settings, then everything that the platform owns."""
    lock = paths.lock
    return {
        "disable_tqdm": True,
        # Counts what the model really reads; costs one sum a batch.
        "include_num_input_tokens_seen": "non_padding",
        **lock.run.settings,
        "model_name_or_path": str(paths.base_model),
        "dataset": ",".join(dataset.name for dataset in lock.run.datasets),
        "dataset_dir": str(scratch),
        "output_dir": str(paths.checkpoints),
        "run_name": lock.run_id,
        "report_to": "none",
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


def train(paths: Paths, scratch: Path, resume: Path | None, callback: RunCallback) -> None:
    """Train to the end, into the checkpoints folder. Raises whatever LLaMA Factory and the callback raise."""
    (scratch / "dataset_info.json").write_text(json.dumps(dataset_info(paths)), encoding="utf-8")
    from llamafactory.train.tuner import run_exp

    from runner.float32 import Float32OnCpu

    run_exp(arguments(paths, scratch, resume), callbacks=[callback, Float32OnCpu()])


def prepare(scratch: Path) -> None:
    """Set the environment; call it before anything imports transformers."""
    os.environ.update(surroundings(scratch))
