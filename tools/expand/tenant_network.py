"""Where a tenant's pods may connect to, from the address of the environment's MLflow."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from tools.formats.environment import Mlflow

_PORTS = {"http": 80, "https": 443}
_SERVICE = "svc"


def cluster_namespace(uri: str) -> str | None:
    """Namespace of an MLflow inside the cluster (`<service>.<namespace>.svc[.<domain>]`), None for one outside."""
    labels = (urlsplit(uri).hostname or "").split(".")
    return labels[1] if labels[2:3] == [_SERVICE] else None


def is_reachable(mlflow: Mlflow) -> bool:
    """Whether a NetworkPolicy can name the server: policies know namespaces and addresses, not host names."""
    return cluster_namespace(mlflow.tracking_uri) is not None or bool(_blocks(mlflow))


def mlflow_egress(mlflow: Mlflow) -> list[dict[str, Any]]:
    """The egress rules of the policy `allow-mlflow`; none when nothing says where the server is."""
    namespace = cluster_namespace(mlflow.tracking_uri)
    peers: list[dict[str, Any]] = [{"ipBlock": {"cidr": block}} for block in _blocks(mlflow)]
    if namespace is not None:
        peers = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}]
    if not peers:
        return []
    return [{"to": peers, "ports": [{"protocol": "TCP", "port": _port(mlflow)}]}]


def _blocks(mlflow: Mlflow) -> list[str]:
    host = urlsplit(mlflow.tracking_uri).hostname or ""
    try:
        address = ip_address(host)
    except ValueError:
        return mlflow.cidrs
    return mlflow.cidrs or [f"{address}/{address.max_prefixlen}"]


def _port(mlflow: Mlflow) -> int:
    """The port that packets carry when a policy sees them: for a Service, that of its pods."""
    parts = urlsplit(mlflow.tracking_uri)
    return mlflow.pod_port or parts.port or _PORTS[parts.scheme]
