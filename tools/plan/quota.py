"""What a run takes of its tenant's quota, and whose approval it needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tools.formats.lock import Lock, LockedRun
from tools.formats.people import usernames
from tools.formats.tenant import Tenant
from tools.plan.hours import HOUR


@dataclass(frozen=True, slots=True)
class Share:
    """One limit of the quota: in use before this run, taken by it, allowed."""

    name: str
    unit: str
    before: float
    taken: float
    allowed: float

    @property
    def after(self) -> float:
        """In use with this run."""
        return self.before + self.taken

    @property
    def exceeded(self) -> bool:
        """Whether the run does not fit."""
        return self.after > self.allowed


def gpu_hours(run: LockedRun) -> float:
    """GPU-hours that a run may use: time limit x GPUs x nodes, and its evaluation's time limit on one of them."""
    resources = run.resources
    scoring = run.evaluation.time_limit_seconds if run.evaluation is not None and resources.gpus else 0
    return (resources.time_limit_seconds * resources.gpus * resources.nodes + scoring) / HOUR


def shares(
    run: LockedRun, tenant: Tenant, others: Sequence[Lock], storage: tuple[float, float], month: tuple[str, float]
) -> list[Share]:
    """Effect on the tenant's quota in the run's environment.

    others: the tenant's other locks there; storage: GiB that those keep, and that this run needs; month: its name
    (`2026-11`) and the GPU-hours that everything but this attempt takes of it.
    """
    active = [lock for lock in others if lock.state == "active"]
    quota, resources = tenant.quota, run.resources
    at_once = sum(lock.run.resources.gpus * lock.run.resources.nodes for lock in active)
    return [
        Share("GPUs at once, if all run", "GPUs", at_once, resources.gpus * resources.nodes, quota.gpus),
        Share(f"GPU-hours in {month[0]}", "GPU-hours", month[1], gpu_hours(run), quota.gpu_hours_per_month),
        Share("storage", "GiB", *storage, quota.storage_gib),
    ]


def approvals(run: LockedRun, tenant: Tenant, admins: Sequence[str]) -> list[str]:
    """Who has to approve, a sentence each."""
    needed = [f"{tenant.required_approvals} of the tenant's approvers: {', '.join(usernames(tenant.approvers))}"]
    if run.priority == "high":
        needed.append(f"1 platform admin, because priority is high: {', '.join(admins)}")
    return needed
