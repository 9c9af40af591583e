"""The run fits into the tenant's GPU-hours of this month.

Counted is what a run may use at most: time limit x GPUs x nodes, over the tenant's runs in the environment that were
authorized this month (UTC) or wait for it, and this experiment on top.

Fails:

    resources: {gpus: 8, time_limit: 2d}    # 384 GPU-hours; 200 are left

Passes:

    resources: {gpus: 1, time_limit: 8h}
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding
from tools.formats.base import seconds
from tools.rules.subject import Subject
from tools.yamlsource.document import Refused

ID = "gpu-hours"
KIND = "experiment"
NEEDS = ("environment", "resources")
_HOUR = 3600


def check(subject: Subject) -> Iterator[Finding]:
    """Add the experiment to what its tenant's locks hold; one that has a lock is counted there already."""
    environment, tenant = subject.environment_name, subject.tenant
    resources = subject.experiment.resources
    if environment is None or subject.environment is None or tenant is None or resources.gpus == 0:
        return
    if _reported_elsewhere(subject) or _locked(subject):
        return
    asked = seconds(resources.time_limit) * resources.gpus * resources.nodes / _HOUR
    used = subject.repository.locks.gpu_hours(environment, subject.tenant_name)
    most = tenant.quota.gpu_hours_per_month
    if used + asked > most:
        found = f"{asked:g} GPU-hours on top of {used:g} this month in {environment}"
        allowed = f"at most {most} a month ({subject.tenant_name}'s quota)"
        remedy = "lower time_limit, gpus or nodes, or wait for next month"
        document = subject.parsed.document
        where = ("resources", "time_limit")
        yield document.finding(where, ID, found, allowed, remedy, key=where not in document.values)


def _reported_elsewhere(subject: Subject) -> bool:
    """Whether one of the three numbers is over a limit of its own, which is then the fault to mend."""
    tenant, environment, resources = subject.tenant, subject.environment, subject.experiment.resources
    assert tenant is not None
    over_nodes = environment is not None and (
        resources.gpus > environment.gpu.per_node or resources.nodes > environment.gpu.nodes
    )
    over_quota = resources.gpus * resources.nodes > tenant.quota.gpus
    return over_nodes or over_quota or seconds(resources.time_limit) > seconds(tenant.quota.time_limit)


def _locked(subject: Subject) -> bool:
    try:
        return bool(subject.repository.locks.of(subject.tenant_name, subject.name))
    except Refused:
        return True
