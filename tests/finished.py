"""Finished runs without training: files as LLaMA Factory leaves them, proved by the runner's own code."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from typing import Any

from runner import result
from runner.budget import Budget
from runner.storage import Paths


@dataclass
class State:
    """The part of transformers' TrainerState that the proof is made from."""

    global_step: int = 6
    max_steps: int = 6
    log_history: list[dict[str, Any]] = field(default_factory=lambda: [{"step": 6, "loss": 1.0}])


def finish(paths: Paths, *, extra_bytes: int = 0) -> None:
    """Bring a run to its end: an adapter, or for method full the base model itself as if it had been trained.

    extra_bytes: size of one more file, for tests that need copying to take a while.
    """
    paths.checkpoints.mkdir(parents=True, exist_ok=True)
    if paths.lock.run.settings["finetuning_type"] == "full":
        shutil.copytree(paths.base_model, paths.checkpoints, dirs_exist_ok=True)
    else:
        (paths.checkpoints / "adapter_model.safetensors").write_bytes(bytes(range(256)))
        (paths.checkpoints / "adapter_config.json").write_text(json.dumps({"r": 4}), encoding="utf-8")
    if extra_bytes:
        (paths.checkpoints / "extra.bin").write_bytes(bytes(extra_bytes))
    budget = Budget(paths.checkpoints, paths.lock.attempt, 3600)
    result.complete(paths, result.gather(paths), State(), 32, budget)
