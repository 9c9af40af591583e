"""The differences of one tenant's namespace from base/tenant, as patches of the base's objects."""

from __future__ import annotations

from typing import Any

from tools.expand import tenant_sizes
from tools.expand.tenant_network import mlflow_egress
from tools.formats.environment import TENANT
from tools.formats.tenant_lock import TenantContent

# What stands in base/tenant for the tenant's own namespace.
NAMESPACE = "tenant"
# What stands in base/ for `finetuning-<tenant>`.
NAMED = "finetuning-tenant"
STORAGE, BASE_MODELS = "storage", "base-models"
_NOMINAL_GIB = 200

Object = dict[str, Any]


def head(api_version: str, kind: str, name: str, namespace: str | None = NAMESPACE) -> Object:
    """The part of a patch that says which of the base's objects it changes."""
    place = {"namespace": namespace} if namespace else {}
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, **place}}


def group(content: TenantContent) -> str:
    """The group of the tenant's people."""
    return content.cluster.tenant_group.replace(TENANT, content.name)


def patches(content: TenantContent) -> list[Object]:
    """Quota, limits, network, people and claims."""
    return [
        {**head("v1", "ResourceQuota", "finetuning"), "spec": {"hard": _hard(content)}},
        {**head("v1", "LimitRange", "finetuning"), "spec": {"limits": [_limit(content)]}},
        {
            **head("networking.k8s.io/v1", "NetworkPolicy", "allow-mlflow"),
            "spec": {"egress": mlflow_egress(content.cluster.mlflow)},
        },
        {
            **head("rbac.authorization.k8s.io/v1", "RoleBinding", "finetuning-viewer"),
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group(content)}],
        },
        *(_claim(content, name) for name in (STORAGE, BASE_MODELS)),
    ]


def sizes_gib(content: TenantContent) -> dict[str, int]:
    """Size of each claim, by its name in the base.

    With NFS exports the base's own, whatever the quota: it limits nothing there, and a claim whose volume was made by hand
    can never change its size, so that raising the quota would leave the tenant's Application failing for ever.
    """
    if content.cluster.storage.nfs is not None:
        return {STORAGE: _NOMINAL_GIB, BASE_MODELS: _NOMINAL_GIB}
    return {STORAGE: content.tenant.quota.storage_gib, BASE_MODELS: content.cluster.storage.base_models_gib}


def claims(content: TenantContent) -> dict[str, str]:
    """Name of each claim in this environment, by its name in the base."""
    return {STORAGE: content.cluster.storage.claim, BASE_MODELS: content.cluster.storage.base_models_claim}


def volume(content: TenantContent, claim: str) -> str:
    """Name of the claim's volume on NFS; the dot keeps namespaces and claims whose names run together apart."""
    return f"{content.namespace}.{claims(content)[claim]}"


def _hard(content: TenantContent) -> dict[str, str]:
    amount = tenant_sizes.at_once(content)
    quantities = amount.quantities()
    return {
        "requests.nvidia.com/gpu": quantities["nvidia.com/gpu"],
        **{f"{kind}.{name}": quantities[name] for name in ("cpu", "memory") for kind in ("requests", "limits")},
        "pods": str(amount.gpus + 2 * tenant_sizes.SIDE_JOBS),  # twice: a pod that ends still counts beside the next
        "count/jobs.batch": str(content.tenant.quota.jobs),
        "count/jobsets.jobset.x-k8s.io": str(content.tenant.quota.jobs),
        "requests.storage": tenant_sizes.gib(sum(sizes_gib(content).values())),
    }


def _limit(content: TenantContent) -> Object:
    """The whole entry: patches replace lists without a merge key."""
    largest = tenant_sizes.one_container(content).quantities()
    return {
        "type": "Container",
        "default": {"cpu": "1", "memory": "2Gi", "ephemeral-storage": "2Gi"},
        "defaultRequest": {"cpu": "100m", "memory": "512Mi", "ephemeral-storage": "512Mi"},
        "max": {"cpu": largest["cpu"], "memory": largest["memory"], "ephemeral-storage": "64Gi"},
    }


def _claim(content: TenantContent, name: str) -> Object:
    storage = content.cluster.storage
    spec: Object = {"resources": {"requests": {"storage": tenant_sizes.gib(sizes_gib(content)[name])}}}
    if storage.nfs is None:
        spec = {"storageClassName": storage.storage_class, **spec}
    else:
        spec = {"volumeName": volume(content, name), **spec}
    return {**head("v1", "PersistentVolumeClaim", name), "spec": spec}
