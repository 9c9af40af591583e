"""How long an evaluation takes: a range, because nobody knows before how long the answers are."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from tools.formats.gpus import GpuType
from tools.formats.lock import LockedRun
from tools.plan.hours import HOUR
from tools.plan.workload import Workload

MODELS = 3  # base, candidate and champion
_ROWS_AT_ONCE = 32  # runner/evaluate/session.py
# Not measured here: transformers' generate reads all weights for each new token of a batch, and launches its kernels one by one.
_BEST_BANDWIDTH, _WORST_BANDWIDTH = 0.8, 0.3
_LEAST_LAUNCH, _MOST_LAUNCH = 0.0004, 0.0012  # seconds for one layer, forward
_SHORT_ANSWERS = 0.25  # of max_new_tokens
_FAST_STORAGE, _SLOW_STORAGE = 1e9, 1e8  # bytes/s: each model is hashed and loaded
_BYTES = 2  # of a weight, bf16


@dataclass(frozen=True, slots=True)
class Scoring:
    """An evaluation. rows: that each model answers. low, high: hours, None without a GPU. limit: hours, its own time limit."""

    rows: int
    low: float | None
    high: float | None
    limit: float


def scoring(run: LockedRun, work: Workload, gpu: GpuType | None) -> Scoring | None:
    """Time of a run's evaluation on one `gpu` (None: on the CPU); None where the run has none."""
    wanted = run.evaluation
    if wanted is None:
        return None
    rows = min(wanted.max_rows, sum(dataset.rows for dataset in wanted.datasets))
    limit = wanted.time_limit_seconds / HOUR
    if gpu is None:
        return Scoring(rows, None, None, limit)
    weights, layers = work.architecture.parameters * _BYTES, work.architecture.num_hidden_layers
    passes = ceil(rows / _ROWS_AT_ONCE) * wanted.max_new_tokens
    read = weights / (gpu.bandwidth_gb_s * 1e9)
    low = _SHORT_ANSWERS * passes * (read / _BEST_BANDWIDTH + layers * _LEAST_LAUNCH) + 2 * weights / _FAST_STORAGE
    high = passes * (read / _WORST_BANDWIDTH + layers * _MOST_LAUNCH) + 2 * weights / _SLOW_STORAGE
    return Scoring(rows, MODELS * low / HOUR, min(limit, MODELS * high / HOUR), limit)
