"""The range in which the runner may try what is quickest, and how long it may take: of long runs under `performance: auto`.

Within it a step trains on the same rows: the micro-batch changes with its accumulation, and whether layers are computed twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tools.formats.experiment import Experiment
from tools.formats.lock import LockedProbe
from tools.plan.steps import value
from tools.tuning.candidates import ACCUMULATION, BATCH, RECOMPUTATION, sizes

SHARE = 0.01  # of the planned time, at most
LEAST_SECONDS = 120  # starting Python and reading the weights takes a part of it: shorter runs are not worth a probe


def probe_of(experiment: Experiment, settings: Mapping[str, Any], planned: float) -> LockedProbe | None:
    """What the lock allows; None for runs that are short, or of several processes, which would have to agree.

    settings: as chosen. planned: expected seconds of training.
    """
    seconds = int(SHARE * planned)
    if seconds < LEAST_SECONDS or experiment.resources.gpus * experiment.resources.nodes > 1:
        return None
    chosen = value(settings, BATCH)
    batches = _up_to_next(sizes(settings, chosen * value(settings, ACCUMULATION)), chosen)
    fixed = RECOMPUTATION in experiment.train
    recomputation = [bool(value(settings, RECOMPUTATION))] if fixed else [False, True]
    if len(batches) * len(recomputation) == 1:
        return None
    return LockedProbe(
        seconds=seconds, per_device_train_batch_size=batches, disable_gradient_checkpointing=recomputation
    )


def words(probe: LockedProbe) -> str:
    """What the probe may do, for people."""
    batches = ", ".join(map(str, probe.per_device_train_batch_size))
    both = len(probe.disable_gradient_checkpointing) > 1
    recomputation = ", with and without recomputation" if both else ""
    return (
        f"up to {probe.seconds} s at the start try micro-batches among {batches}{recomputation}, the same rows a step"
    )


def _up_to_next(found: Sequence[int], chosen: int) -> list[int]:
    """All smaller ones, to step down to, and one larger."""
    return [*(size for size in found if size <= chosen), *[size for size in found if size > chosen][:1]]
