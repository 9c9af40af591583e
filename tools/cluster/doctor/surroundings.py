"""The cluster itself: its version, its storage, its GPUs and its MLflow."""

from __future__ import annotations

import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

from tools.cluster import objects
from tools.cluster.doctor.site import Site
from tools.examining import Result, right, wrong
from tools.expand.patches import BASE_NODE_SELECTOR

OLDEST_KUBERNETES = 31  # base/training: podFailurePolicy is stable
_GPU = "nvidia.com/gpu"
_SECONDS = 5.0
_SERVER_FAULT = 500


def kubernetes_version(site: Site) -> Iterator[Result]:
    """The API server is new enough."""
    version = site.cluster.get("/version")
    minor = int(re.sub(r"\D", "", str(version.get("minor"))) or 0)
    subject = f"Kubernetes {version.get('gitVersion')}"
    if minor < OLDEST_KUBERNETES:
        yield wrong(
            "kubernetes-version", subject, f"1.{minor}", f"1.{OLDEST_KUBERNETES} or newer", "upgrade the cluster"
        )
    else:
        yield right("kubernetes-version", subject)


def storage_class(site: Site) -> Iterator[Result]:
    """The StorageClass of the claims is there."""
    storage = site.environment.storage
    if storage.nfs is not None:
        return
    subject = f"StorageClass {storage.storage_class}"
    if site.optional(f"/apis/storage.k8s.io/v1/storageclasses/{storage.storage_class}") is None:
        remedy = f"create it, or correct `storage.storage_class` in environments/{site.name}.yaml"
        yield wrong("storage-class", subject, "nothing", "it", remedy)
    else:
        yield right("storage-class", subject)


def gpu_nodes(site: Site) -> Iterator[Result]:
    """Nodes with the label that Jobs ask for offer the GPUs that the environment promises."""
    wanted = site.environment.node_selector or BASE_NODE_SELECTOR
    selector = ",".join(f"{key}={value}" for key, value in sorted(wanted.items()))
    nodes = site.cluster.items("/api/v1/nodes", labelSelector=selector)
    usable = [
        node for node in nodes if not objects.at(node, "spec", "unschedulable") and objects.condition(node, "Ready")
    ]
    offered = [int(objects.at(node, "status", "allocatable", _GPU) or 0) for node in usable]
    promised = site.environment.gpu.nodes * site.environment.gpu.per_node
    subject = f"nodes with {selector}"
    if not nodes:
        yield wrong(
            "gpu-nodes", subject, "none", f"{site.environment.gpu.nodes}", f"kubectl label node NAME {selector}"
        )
    elif sum(offered) < promised:
        found = f"{sum(offered)} {_GPU} on {len(usable)} ready of {len(nodes)} nodes"
        remedy = (
            "NVIDIA's device plugin must run on each (`kubectl describe node`); or correct `gpu` in "
            f"environments/{site.name}.yaml, which `ft plan` and the quotas believe"
        )
        yield wrong("gpu-nodes", subject, found, f"{promised} {_GPU}", remedy)
    else:
        yield right("gpu-nodes", f"{subject}: {sum(offered)} {_GPU}")


def mlflow(site: Site) -> Iterator[Result]:
    """MLflow's Service has a pod behind it; an address outside the cluster answers from here."""
    uri = site.environment.mlflow.tracking_uri
    host = (urllib.parse.urlsplit(uri).hostname or "").split(".")
    subject = f"MLflow {uri}"
    if host[2:3] == ["svc"]:
        path = f"/apis/discovery.k8s.io/v1/namespaces/{host[1]}/endpointslices"
        slices = site.cluster.items(path, labelSelector=f"kubernetes.io/service-name={host[0]}")
        ready = [end for found in slices for end in found.get("endpoints") or [] if _ready(end)]
        found, wanted = f"no ready pod behind Service {host[1]}/{host[0]}", "one"
        remedy = f"kubectl -n {host[1]} get service,pods; docs/install.md"
    else:
        found, wanted, remedy = (
            _answer(uri),
            "an answer",
            f"correct mlflow.tracking_uri in environments/{site.name}.yaml",
        )
        ready = [] if found else [{}]
    yield right("mlflow", subject) if ready else wrong("mlflow", subject, found, wanted, remedy)


def _ready(endpoint: dict[str, Any]) -> bool:
    return (endpoint.get("conditions") or {}).get("ready") is not False


def _answer(uri: str) -> str:
    """Empty when the server answers at all, a demand for a login included; else why not."""
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=_SECONDS):  # noqa: S310 - http(s) by the format
            return ""
    except urllib.error.HTTPError as error:
        return "" if error.code < _SERVER_FAULT else f"{error.code} {error.reason}"
    except OSError as error:
        return str(getattr(error, "reason", None) or error)
