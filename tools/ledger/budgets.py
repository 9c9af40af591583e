"""A tenant's GPU-hours of a month beside what its quota allows, counted as the rule `gpu-hours` counts them."""

from __future__ import annotations

from dataclasses import dataclass

from tools.locks import Locks
from tools.repository import Repository


@dataclass(frozen=True, slots=True)
class Budget:
    """One tenant in one environment. used: GPU-hours of the month, limits of what goes on included. allowed: None without a quota."""

    month: str
    used: float
    allowed: int | None

    @property
    def exceeded(self) -> bool:
        """Whether more is taken than allowed."""
        return self.allowed is not None and self.used > self.allowed


def budget(repository: Repository, locks: Locks, tenant: str, environment: str) -> Budget:
    """locks: those of the repository, with the month that is asked for."""
    known = repository.tenant(tenant)
    allowed = known.quota.gpu_hours_per_month if known is not None else None
    return Budget(locks.month, locks.gpu_hours(environment, tenant), allowed)
