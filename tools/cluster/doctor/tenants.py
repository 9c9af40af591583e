"""Each tenant's namespace: what its manifests alone do not say."""

from __future__ import annotations

from collections.abc import Iterator

from tools.cluster import objects
from tools.cluster.doctor.site import Site
from tools.examining import Result, right, unseen, wrong

CREDENTIALS = "mlflow-credentials"
KEYS = ("username", "password")  # as base/training reads them
_ADDING = {
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings",
}


def claims(site: Site) -> Iterator[Result]:
    """Every tenant's claims have a volume."""
    storage = site.environment.storage
    for namespace in site.namespaces:
        for claim in (storage.claim, storage.base_models_claim):
            live = site.optional(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{claim}")
            phase = objects.at(live, "status", "phase")
            subject = f"PersistentVolumeClaim {namespace}/{claim}"
            if live is not None and phase != "Bound":
                remedy = f"kubectl -n {namespace} describe pvc {claim}"
                yield wrong("claim-bound", subject, str(phase), "Bound", remedy)
            elif live is not None:
                yield right("claim-bound", subject)


def credentials(site: Site) -> Iterator[Result]:
    """Every tenant has its MLflow credential. Only the keys' names are looked at."""
    for namespace in site.namespaces:
        live = site.optional(f"/api/v1/namespaces/{namespace}/secrets/{CREDENTIALS}")
        subject = f"Secret {namespace}/{CREDENTIALS}"
        lacking = [key for key in KEYS if key not in (objects.at(live, "data") or {})]
        if live is None or lacking:
            found = "nothing" if live is None else f"no {', '.join(lacking)}"
            literals = " ".join(f"--from-literal={key}=..." for key in KEYS)
            remedy = f"kubectl -n {namespace} create secret generic {CREDENTIALS} {literals} (or external_secrets)"
            yield wrong("mlflow-credentials", subject, found, ", ".join(KEYS), remedy)
        else:
            yield right("mlflow-credentials", subject)


def queues(site: Site) -> Iterator[Result]:
    """With Kueue, every queue takes Workloads."""
    for item in site.wanted:
        if item.manifest["kind"] not in {"ClusterQueue", "LocalQueue"}:
            continue
        live = site.live(item.manifest)
        active = objects.any_condition(live, "Active")
        if live is not None and (active is None or active.get("status") != "True"):
            found = str((active or {}).get("message") or "Kueue has not looked at it")
            remedy = "kubectl -n kueue-system get pods; kubectl get resourceflavors"
            yield wrong("queue", item.subject, found, "Active", remedy)
        elif live is not None:
            yield right("queue", item.subject)


def strangers(site: Site) -> Iterator[Result]:
    """Nothing in a tenant's namespace adds to what its overlay allows: network rules and rights only ever add up."""
    known = {(item.manifest["kind"], item.namespace, item.manifest["metadata"]["name"]) for item in site.wanted}
    for namespace in site.namespaces:
        for kind, path in _ADDING.items():
            for found in site.cluster.items(path.format(namespace=namespace)):
                name = objects.name(found)
                if (kind, namespace, name) not in known:
                    remedy = f"kubectl -n {namespace} delete {kind.lower()} {name}, unless it is known and wanted"
                    yield wrong("stranger", f"{kind} {namespace}/{name}", "there", "no such object", remedy)


def base_models(site: Site) -> Iterator[Result]:
    """The files of the base models lie on a volume that no API shows."""
    for namespace in site.namespaces:
        subject = f"base models on claim {namespace}/{site.environment.storage.base_models_claim}"
        why = "an API server does not show what lies on a volume"
        yield unseen("base-models", subject, why, "a run compares every file with catalog/models/ before it trains")
