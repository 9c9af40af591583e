"""Kueue's real controller on loopback, with its own manifests, configuration, certificates and webhooks.

What a cluster does for its pod is done here: the certificate that Kueue keeps in a Secret is laid before it as a volume
would be, and the Service of its webhooks leads to this machine. Left out are the visibility server, which wants a fixed port,
and with it the exact places in a queue.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import yaml

from tests.e2e import controllers
from tests.e2e.binaries import Cache
from tests.e2e.cluster import Cluster, Refused
from tests.e2e.processes import Program, Programs, free_ports, listening, wait_for

NAMESPACE = "kueue-system"
_ACCOUNT = "kueue-controller-manager"
_SERVICE = "kueue-webhook-service"
_CERTIFICATE = "kueue-webhook-server-cert"
_PARTS = ("crd", "rbac", "webhook", "internalcert")


def start(built: Cache, cluster: Cluster, folder: Path, programs: Programs) -> Program:
    """Install and start it; returns when its webhooks answer."""
    folder.mkdir(parents=True)
    health, webhook, metrics = free_ports(3)
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    for manifest in controllers.manifests(built, "kueue", _PARTS, folder, webhook):
        cluster.apply(manifest)
    certificates = folder / "certificates"
    certificates.mkdir()
    file = _configuration(built, folder, health, webhook, metrics)
    access = cluster.sign_in(folder / "kubeconfig.yaml", NAMESPACE, _ACCOUNT)
    command = [built.program("kueue"), "--config", str(file), "--kubeconfig", str(access)]
    kueue = programs.start("kueue", [*command, "--feature-gates", "VisibilityOnDemand=false"])
    secret = wait_for(lambda: _filled(cluster), "Kueue's certificates", programs=[kueue])
    for name, value in secret.items():
        (certificates / name).write_bytes(base64.b64decode(value))
    wait_for(lambda: listening(webhook), "Kueue's webhooks", programs=[kueue])
    wait_for(lambda: _trusted(cluster), "the API server's trust in Kueue's webhooks", programs=[kueue])
    return kueue


def _configuration(built: Cache, folder: Path, health: int, webhook: int, metrics: int) -> Path:
    """Kueue's own, with this machine's ports."""
    shipped = built.files("kueue") / "config" / "components" / "manager" / "controller_manager_config.yaml"
    configuration: dict[str, Any] = yaml.safe_load(shipped.read_text(encoding="utf-8"))
    configuration["health"]["healthProbeBindAddress"] = f"127.0.0.1:{health}"
    configuration["metrics"]["bindAddress"] = f"127.0.0.1:{metrics}"
    configuration["webhook"] = {"host": "127.0.0.1", "port": webhook, "certDir": str(folder / "certificates")}
    configuration["leaderElection"]["leaderElect"] = False
    file = folder / "configuration.yaml"
    file.write_text(yaml.safe_dump(configuration), encoding="utf-8")
    return file


def _filled(cluster: Cluster) -> dict[str, str]:
    data: dict[str, str] = (cluster.get("Secret", _CERTIFICATE, NAMESPACE) or {}).get("data") or {}
    return data


def _trusted(cluster: Cluster) -> bool:
    """Whether a request goes through a webhook; the API server has to see the new authority first."""
    probe = {"apiVersion": "kueue.x-k8s.io/v1beta1", "kind": "ResourceFlavor", "metadata": {"name": "probe"}}
    try:
        cluster.call("POST", "/apis/kueue.x-k8s.io/v1beta1/resourceflavors?dryRun=All", probe)
    except Refused:
        return False
    return True
