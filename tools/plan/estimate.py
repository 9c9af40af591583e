"""One experiment, planned: its lock and everything that the formulas say about it."""

from __future__ import annotations

from dataclasses import dataclass

from tools.formats.lock import Lock
from tools.plan import memory
from tools.plan.difference import Difference
from tools.plan.disk import Disk
from tools.plan.fit import Change, Verdict, verdict
from tools.plan.hours import Duration
from tools.plan.memory import Part
from tools.plan.quota import Share
from tools.plan.scoring import Scoring
from tools.plan.steps import Steps
from tools.plan.workload import Workload
from tools.predict.prediction import Prediction
from tools.tuning.choose import Choice


@dataclass(frozen=True, slots=True)
class Cut:
    """Rows of one dataset that are longer than `cutoff_len`; None where nobody measured them."""

    dataset: str
    rows: int
    over: int | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What one experiment would do, need and cost.

    advice: what `performance: auto` would change; None where nothing, or it is chosen or authorized already.
    device, limit: what trains it and its memory in bytes. gpu, price: None and 0 without GPUs; price is for one GPU-hour.
    prediction: what past runs make of peak memory and training time; None without GPUs.
    planned_gpu_hours: time limit x GPUs x nodes, the upper bound that counts against the quota; with the evaluation's.
    """

    file: str
    lock: Lock
    work: Workload
    steps: Steps
    cuts: tuple[Cut, ...]
    parts: tuple[Part, ...]
    device: str
    limit: float
    changes: tuple[Change, ...]
    advice: Choice | None
    disk: Disk
    duration: Duration
    prediction: Prediction | None
    scoring: Scoring | None
    planned_gpu_hours: float
    price: float
    currency: str
    shares: tuple[Share, ...]
    approvals: tuple[str, ...]
    difference: Difference | None
    notes: tuple[str, ...]

    @property
    def needed(self) -> float:
        """Peak memory of one device, bytes: by the formulas, or more where past runs needed more. Never less."""
        return max(memory.total(self.parts), self.prediction.peak if self.prediction is not None else 0.0)

    @property
    def verdict(self) -> Verdict:
        """Whether it fits."""
        return verdict(self.needed, self.limit)
