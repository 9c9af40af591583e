"""The GPUs exist in the environment and fit the tenant's quota.

`gpus` is per node. A Job that no node can hold would wait for ever; the quota is what a tenant may use at once.

Fails:

    resources: {gpus: 8, nodes: 4}      # 32 GPUs; the quota is 8

Passes:

    resources: {gpus: 4, nodes: 2}
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding
from tools.rules.subject import Subject

ID = "gpu-quota"
KIND = "experiment"
NEEDS = ("environment",)


def check(subject: Subject) -> Iterator[Finding]:
    """Compare with the nodes first, then with the quota; one finding for each number."""
    over_environment = [finding for finding in (_gpus(subject), _nodes(subject)) if finding]
    yield from over_environment
    both_usable = subject.parsed.usable("resources.gpus", "resources.nodes")
    if not both_usable or over_environment or subject.tenant is None:
        return
    resources, quota = subject.experiment.resources, subject.tenant.quota.gpus
    asked = resources.gpus * resources.nodes
    if asked > quota:
        found = f"{resources.gpus} GPUs x {resources.nodes} nodes = {asked}"
        allowed = f"at most {quota} at once ({subject.tenant_name}'s quota)"
        yield _over(subject, "nodes" if resources.gpus <= quota else "gpus", found, allowed)


def _gpus(subject: Subject) -> Finding | None:
    environment = subject.environment
    if environment is None or not subject.parsed.usable("resources.gpus"):
        return None
    gpus, most = subject.experiment.resources.gpus, environment.gpu.per_node
    if gpus <= most:
        return None
    return _over(subject, "gpus", f"{gpus} GPUs a node", f"at most {most} (a node of {subject.environment_name})")


def _nodes(subject: Subject) -> Finding | None:
    environment = subject.environment
    usable = subject.parsed.usable("resources.nodes", "resources.gpus")
    if environment is None or not usable or subject.experiment.resources.gpus == 0:
        return None
    nodes, most = subject.experiment.resources.nodes, environment.gpu.nodes
    if nodes <= most:
        return None
    return _over(subject, "nodes", f"{nodes} nodes", f"at most {most} ({subject.environment_name} has no more)")


def _over(subject: Subject, key: str, found: str, allowed: str) -> Finding:
    """A default that is too much is reported at the key `resources`."""
    where = ("resources", key)
    written = where in subject.parsed.document.values
    remedy = "ask for fewer, or ask a platform admin for more"
    return subject.parsed.document.finding(where, ID, found, allowed, remedy, key=not written)
