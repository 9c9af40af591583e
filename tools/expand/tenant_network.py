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
    labels = _host(uri).split(".")
    return labels[1] if labels[2:3] == [_SERVICE] else None


def is_reachable(mlflow: Mlflow) -> bool:
    """Whether a NetworkPolicy can name the server: policies know namespaces and addresses, not host names."""
    named = cluster_namespace(mlflow.tracking_uri) is not None
    return bool(_host(mlflow.tracking_uri)) and (named or bool(_blocks(mlflow)))


def mlflow_egress(mlflow: Mlflow) -> list[dict[str, Any]]:
    """The egress rules of the policy `allow-mlflow`; none when nothing says where the server is."""
    namespace = cluster_namespace(mlflow.tracking_uri)
    peers: list[dict[str, Any]] = [{"ipBlock": {"cidr": block}} for block in _blocks(mlflow)]
    if namespace is not None:
        peers = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}]
    if not peers:
        return []
    return [{"to": peers, "ports": [{"protocol": "TCP", "port": _port(mlflow)}]}]


def _host(uri: str) -> str:
    """The address's host; empty where it has none or is none, which the rule `environment-mlflow` says."""
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname or "", parts.port
    except ValueError:  # half a bracket of an IPv6 address, or a port that is none
        return ""
    return host if port != 0 else ""


def _blocks(mlflow: Mlflow) -> list[str]:
    host = _host(mlflow.tracking_uri)
    try:
        address = ip_address(host)
    except ValueError:
        return mlflow.cidrs
    return mlflow.cidrs or [f"{address}/{address.max_prefixlen}"]


def _port(mlflow: Mlflow) -> int:
    """The port that packets carry when a policy sees them: for a Service, that of its pods."""
    parts = urlsplit(mlflow.tracking_uri)
    return mlflow.pod_port or parts.port or _PORTS[parts.scheme]
