"""Who has to approve one run, judged by the target branch as it is before the merge.

A merge request cannot lower its own bar: people, limits, models and priorities count as main has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tools.bot.records import User
from tools.formats.base import seconds
from tools.formats.lock import LockedRun
from tools.formats.people import Person
from tools.formats.tenant import Tenant
from tools.plan.hours import HOUR
from tools.plan.quota import gpu_hours
from tools.repository import Repository


@dataclass(frozen=True)
class Before:
    """What the target branch says: the tenants that a merge request touches, and the platform's admins."""

    tenants: Mapping[str, Tenant]
    admins: tuple[Person, ...]
    models: frozenset[str]

    @classmethod
    def read(cls, repository: Repository, names: set[str]) -> Before:
        """From a checkout of the target branch."""
        found = {name: tenant for name in sorted(names) if (tenant := repository.tenant(name)) is not None}
        admins = tuple(repository.platform.admins) if repository.platform else ()
        return cls(found, admins, frozenset(repository.names("catalog/models")))


@dataclass(frozen=True, slots=True)
class Needs:
    """Who approves a run.

    approvers: those who may, the author left out, who may not. required: how many of them. admin: why a platform admin has
    to approve as well, a phrase each; empty where none has to.
    """

    approvers: tuple[Person, ...]
    required: int
    admin: tuple[str, ...] = ()

    @property
    def impossible(self) -> bool:
        """Whether there are too few approvers left."""
        return len(self.approvers) < self.required


def needs(run: LockedRun, before: Before, author: User, gpu_hours_this_month: float) -> Needs:
    """Who approves `run`.

    gpu_hours_this_month: those of the tenant's authorized runs there and of this merge request's other new ones.
    """
    tenant = before.tenants.get(run.tenant)
    if tenant is None:
        return Needs((), 1)
    approvers = tuple(person for person in tenant.approvers if person.id != author.id)
    return Needs(approvers, tenant.required_approvals, tuple(_admin(run, tenant, before, gpu_hours_this_month)))


def _admin(run: LockedRun, tenant: Tenant, before: Before, used: float) -> list[str]:
    resources, quota = run.resources, tenant.quota
    gpus, limit, asked = resources.gpus * resources.nodes, seconds(quota.time_limit), gpu_hours(run)
    found = []
    if run.priority == "high":
        found.append("priority is high")
    if gpus > quota.gpus:
        found.append(f"{gpus} GPUs at once, the tenant's limit is {quota.gpus}")
    if resources.time_limit_seconds > limit:
        hours = resources.time_limit_seconds / HOUR
        found.append(f"runs up to {hours:g} h, the tenant's limit is {quota.time_limit}")
    if asked and used + asked > quota.gpu_hours_per_month:
        found.append(f"{used + asked:,.1f} GPU-hours this month, the tenant's limit is {quota.gpu_hours_per_month:,}")
    if run.model.name not in before.models or run.model.name not in tenant.models:
        found.append(f"the base model {run.model.name} is new to the tenant")
    return found
