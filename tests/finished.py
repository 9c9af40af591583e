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


def finish(paths: Paths, *, extra_bytes: int = 0, changed: bool = True) -> None:
    """Bring a run to its end: an adapter, or for method full the base model with one number changed.

    changed: whether that number is changed. extra_bytes: size of one more file, for tests that need copying to take a while.
    """
    paths.writing.mkdir(parents=True, exist_ok=True)
    if paths.lock.run.settings["finetuning_type"] == "full":
        shutil.copytree(paths.base_model, paths.writing, dirs_exist_ok=True)
        weights = paths.writing / "model.safetensors"
        data = bytearray(weights.read_bytes())
        data[-1] ^= changed  # of the last tensor's last number: trained a little
        weights.write_bytes(data)
    else:
        (paths.writing / "adapter_model.safetensors").write_bytes(bytes(range(256)))
        (paths.writing / "adapter_config.json").write_text(json.dumps({"r": 4}), encoding="utf-8")
    if extra_bytes:
        (paths.writing / "extra.bin").write_bytes(bytes(extra_bytes))
    budget = Budget(paths.checkpoints, paths.lock.attempt, 3600)
    result.complete(paths, result.gather(paths), State(), 32, budget)
