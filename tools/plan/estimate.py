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


@dataclass(frozen=True, slots=True)
class Cut:
    """Rows of one dataset that are longer than `cutoff_len`; None where nobody measured them."""

    dataset: str
    rows: int
    over: int | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What one experiment would do, need and cost.

    device, limit: what trains it and its memory in bytes. gpu, price: None and 0 without GPUs; price is for one GPU-hour.
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
    disk: Disk
    duration: Duration
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
        """Peak memory of one device, bytes."""
        return memory.total(self.parts)

    @property
    def verdict(self) -> Verdict:
        """Whether it fits."""
        return verdict(self.needed, self.limit)
