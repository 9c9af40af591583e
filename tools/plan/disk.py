"""What a run writes to the tenant's storage."""

from __future__ import annotations

from dataclasses import dataclass

from tools.formats.lock import LockedModel
from tools.plan import parameters
from tools.plan.steps import Steps
from tools.plan.workload import Workload

_ADAM = 2


@dataclass(frozen=True, slots=True)
class Disk:
    """Bytes on the storage: `checkpoints` while it trains (one more than the limit, for the oldest goes after the newest is written), then `result` and `merged`."""

    checkpoint: int
    checkpoints: int
    result: int
    merged: int

    @property
    def peak(self) -> int:
        """Bytes at most."""
        return self.checkpoint * self.checkpoints + self.result + self.merged


def disk(work: Workload, steps: Steps, model: LockedModel, *, merge: bool) -> Disk:
    """Need of one run.

    A checkpoint holds the trained weights and, unless save_only_model, two optimiser states for each
    (transformers/trainer.py, `_save_checkpoint`); the merged model is as large as the base it is made of.
    """
    weights = parameters.trainable(work) * work.trainable_bytes
    states = 0 if work.value("save_only_model") else _ADAM * weights
    base = sum(file.size for file in model.files.values())
    merged = base if merge and work.method != "full" else 0
    return Disk(weights + states, _saved(work, steps), weights, merged)


def _saved(work: Workload, steps: Steps) -> int:
    strategy, limit = work.value("save_strategy"), work.value("save_total_limit")
    if strategy == "no":
        return 0
    every = steps.steps_per_epoch if strategy == "epoch" else _every(float(work.value("save_steps")), steps)
    made = max(1, -(-steps.optimisation_steps // every))
    return made if limit is None else min(made, int(limit) + 1)


def _every(save_steps: float, steps: Steps) -> int:
    """Steps between checkpoints; under 1 it is a share of all steps (transformers/training_args.py)."""
    return max(1, int(save_steps if save_steps >= 1 else save_steps * steps.optimisation_steps))
