"""The run fits into the tenant's GPU-hours of this month; beyond them it needs a platform admin as well (a warning).

Counted is what a run may use at most: time limit x GPUs x nodes and the evaluation's time limit on one GPU, over the
tenant's runs in the environment that were authorized this month (UTC) or wait for it, and this experiment on top. Once a
run is over, the GPU-hours that it really took stand in their place. Each attempt counts by itself.

Warned of:

    resources: {gpus: 8, time_limit: 2d}    # 384 GPU-hours; 200 are left

Passes:

    resources: {gpus: 1, time_limit: 8h}
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace

from tools.findings import Finding
from tools.formats.base import seconds
from tools.rules.subject import Subject
from tools.yamlsource.document import Refused

ID = "gpu-hours"
KIND = "experiment"
NEEDS = ("environment", "resources")
_HOUR = 3600


def check(subject: Subject) -> Iterator[Finding]:
    """Add the experiment to what its tenant's runs take; an attempt that has a lock is counted there already."""
    environment, tenant = subject.environment_name, subject.tenant
    resources = subject.experiment.resources
    if environment is None or subject.environment is None or tenant is None or resources.gpus == 0:
        return
    if _reported_elsewhere(subject) or _counted(subject, environment):
        return
    evaluation = subject.experiment.evaluation if subject.parsed.usable("evaluation") else None
    scoring = seconds(evaluation.time_limit) if evaluation is not None else 0
    asked = (seconds(resources.time_limit) * resources.gpus * resources.nodes + scoring) / _HOUR
    used = subject.repository.locks.gpu_hours(environment, subject.tenant_name)
    most = tenant.quota.gpu_hours_per_month
    if used + asked > most:
        found = f"{asked:g} GPU-hours on top of {used:g} this month in {environment}"
        allowed = f"at most {most} a month ({subject.tenant_name}'s quota)"
        remedy = "lower time_limit, gpus or nodes, wait for next month, or have a platform admin approve it as well"
        document = subject.parsed.document
        where = ("resources", "time_limit")
        finding = document.finding(where, ID, found, allowed, remedy, key=where not in document.values)
        yield replace(finding, severity="warning")


def _reported_elsewhere(subject: Subject) -> bool:
    """Whether one of the three numbers is over a limit of its own, which is then the fault to mend."""
    tenant, environment, resources = subject.tenant, subject.environment, subject.experiment.resources
    assert tenant is not None
    over_nodes = environment is not None and (
        resources.gpus > environment.gpu.per_node or resources.nodes > environment.gpu.nodes
    )
    over_quota = resources.gpus * resources.nodes > tenant.quota.gpus
    return over_nodes or over_quota or seconds(resources.time_limit) > seconds(tenant.quota.time_limit)


def _counted(subject: Subject, environment: str) -> bool:
    """Whether this attempt is among the runs that are summed up: by its lock, or by its record once it is retired."""
    try:
        locks = subject.repository.locks.of(subject.tenant_name, subject.name)
    except Refused:
        return True
    if not locks:
        file = subject.repository.root / subject.parsed.document.file
        known = subject.repository.locks.authorized(environment, subject.tenant_name, subject.name)
        return bool(known) and hashlib.sha256(file.read_bytes()).hexdigest() in known
    if not subject.parsed.usable("attempt"):
        return True
    return any(subject.experiment.attempt <= (lock.attempt or 1) for lock in locks)
