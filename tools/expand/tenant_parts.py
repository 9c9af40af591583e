"""The parts of a tenant's namespace that an environment switches on: NFS volumes, the queue, the external secret, scraping.

Each function gives the patches of one folder of base/, empty where the environment does not ask for it.
"""

from __future__ import annotations

from tools.expand import tenant_sizes
from tools.expand.tenant_core import BASE_MODELS, NAMED, STORAGE, Object, claims, head
from tools.formats.environment import TENANT
from tools.formats.tenant_lock import TenantContent

METRICS_PORT = 9464  # of the training pods: RUNNER_METRICS_PORT in base/training


def volumes(content: TenantContent) -> list[Object]:
    """base/tenant/nfs."""
    nfs = content.cluster.storage.nfs
    if nfs is None:
        return []
    paths = {STORAGE: f"{nfs.path}/tenants/{content.name}", BASE_MODELS: f"{nfs.path}/base-models"}
    return [
        {
            **head("v1", "PersistentVolume", claim, namespace=None),
            "spec": {
                "claimRef": {"namespace": content.namespace, "name": claims(content)[claim]},
                "nfs": {"server": nfs.server, "path": path},
            },
        }
        for claim, path in paths.items()
    ]


def queues(content: TenantContent) -> list[Object]:
    """base/tenant/kueue."""
    if not content.cluster.kueue:
        return []
    nominal = tenant_sizes.queued(content).quantities()
    limits = tenant_sizes.share(tenant_sizes.borrowed(content)).quantities()
    resources = [
        {"name": name, "nominalQuota": amount, "borrowingLimit": limits[name]} for name, amount in nominal.items()
    ]
    flavor = {"name": "finetuning", "resources": resources}
    return [
        {
            **head("kueue.x-k8s.io/v1beta1", "ClusterQueue", NAMED, namespace=None),
            "spec": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": content.namespace}},
                "resourceGroups": [{"coveredResources": list(nominal), "flavors": [flavor]}],
            },
        },
        {
            **head("kueue.x-k8s.io/v1beta1", "LocalQueue", "finetuning"),
            "spec": {"clusterQueue": f"finetuning-{content.name}"},
        },
    ]


def monitoring(content: TenantContent) -> list[Object]:
    """base/tenant/monitoring: who may ask the training pods for their metrics."""
    if content.cluster.monitoring is None:
        return []
    peers = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": content.cluster.monitoring}}}]
    ingress = [{"from": peers, "ports": [{"protocol": "TCP", "port": METRICS_PORT}]}]
    return [{**head("networking.k8s.io/v1", "NetworkPolicy", "allow-metrics"), "spec": {"ingress": ingress}}]


def secret(content: TenantContent) -> list[Object]:
    """base/tenant/external-secret."""
    external = content.cluster.external_secrets
    if external is None:
        return []
    key = external.key.replace(TENANT, content.name)
    # The same names in the store, in the Secret and in base/training.
    data = [{"secretKey": name, "remoteRef": {"key": key, "property": name}} for name in ("username", "password")]
    spec = {"secretStoreRef": {"name": external.store}, "data": data}
    return [{**head("external-secrets.io/v1", "ExternalSecret", "mlflow-credentials"), "spec": spec}]
