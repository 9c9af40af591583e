"""A tenant's namespace is none of the cluster's own.

The platform puts labels, quotas and a network policy that denies everything into the namespace: in `kube-system`, Argo CD's,
Kueue's or MLflow's that stops the cluster.

Fails:

    namespace: kube-system

Passes:

    namespace: risk-training
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.expand.tenant_network import cluster_namespace
from tools.findings import Finding
from tools.formats.tenant import Tenant
from tools.rules.entry import Entry

ID = "tenant-namespace"
KIND = "tenant"
NEEDS = ("namespace",)
_SYSTEM = "kube-"
_RESERVED = frozenset({"default", "argocd", "kueue-system", "external-secrets"})


def check(entry: Entry[Tenant]) -> Iterator[Finding]:
    """Compare with what is the cluster's in each of the tenant's environments."""
    namespace = entry.value.namespace
    if namespace is None:
        return
    owners = ["the cluster's"] if namespace.startswith(_SYSTEM) or namespace in _RESERVED else []
    for name in entry.value.environments if entry.parsed.usable("environments") else ():
        environment = entry.repository.environment(name)
        if environment and cluster_namespace(environment.mlflow.tracking_uri) == namespace:
            owners.append(f"MLflow's in {name}")
    if owners:
        found = f"namespace {namespace} is {' and '.join(owners)}"
        remedy = "leave namespace: out, or write another"
        yield entry.parsed.document.finding(("namespace",), ID, found, "one of the tenant's own", remedy)
