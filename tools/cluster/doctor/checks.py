"""What no manifest says about a cluster: one small function for each, in the order in which they are reported."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tools.cluster.doctor import argocd, surroundings, tenants
from tools.cluster.doctor.site import Site
from tools.examining import Result

CHECKS: tuple[Callable[[Site], Iterator[Result]], ...] = (
    surroundings.kubernetes_version,
    argocd.argocd_version,
    argocd.signing_keys,
    argocd.applications,
    argocd.application_sets,
    argocd.policies,
    surroundings.storage_class,
    tenants.claims,
    tenants.credentials,
    surroundings.gpu_nodes,
    tenants.queues,
    surroundings.mlflow,
    tenants.strangers,
    tenants.base_models,
)
