"""JobSet's real controller on loopback, with its own manifests and webhooks, and a certificate of the tests.

The controller's own certificates want a fixed folder below /tmp, so it gets one that openssl made, as cert-manager would.
"""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import yaml

from tests.e2e import controllers
from tests.e2e.binaries import Cache
from tests.e2e.cluster import Cluster, Manifest, Refused
from tests.e2e.processes import Program, Programs, free_ports, listening, wait_for

NAMESPACE = "jobset-system"
_ACCOUNT = "jobset-controller-manager"
_PARTS = ("crd", "rbac", "webhook")


def start(built: Cache, cluster: Cluster, folder: Path, programs: Programs) -> Program:
    """Install and start it; returns when its webhooks answer."""
    folder.mkdir(parents=True)
    health, webhook = free_ports(2)
    authority = _certificate(folder)
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    for manifest in _manifests(built, folder, webhook, authority):
        cluster.apply(manifest)
    file = _configuration(folder, health, webhook)
    access = cluster.sign_in(folder / "kubeconfig.yaml", NAMESPACE, _ACCOUNT)
    jobset = programs.start("jobset", [built.program("jobset"), "--config", str(file), "--kubeconfig", str(access)])
    wait_for(lambda: listening(webhook), "JobSet's webhooks", programs=[jobset])
    wait_for(lambda: _answers(cluster), "JobSet's kind behind its webhooks", programs=[jobset])
    return jobset


def _certificate(folder: Path) -> str:
    """Make tls.crt and tls.key for `localhost` by another name: what the API server looks for; its authority in base64."""
    service = f"jobset-webhook-service.{NAMESPACE}.svc"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={service}"]
    names = ["-addext", f"subjectAltName=DNS:{service}", "-keyout", folder / "tls.key", "-out", folder / "tls.crt"]
    subprocess.run([*command, *names], check=True, capture_output=True)
    return base64.b64encode((folder / "tls.crt").read_bytes()).decode()


def _manifests(built: Cache, folder: Path, webhook: int, authority: str) -> list[Manifest]:
    """JobSet's own, with the certificate's authority, which cert-manager would write there."""
    manifests = controllers.manifests(built, "jobset", _PARTS, folder, webhook)
    for manifest in manifests:
        if manifest["kind"] == "CustomResourceDefinition":  # one version: nothing to convert
            manifest["spec"].pop("conversion", None)
        for each in manifest.get("webhooks", []):
            each["clientConfig"]["caBundle"] = authority
    return manifests


def _configuration(folder: Path, health: int, webhook: int) -> Path:
    configuration = {
        "apiVersion": "config.jobset.x-k8s.io/v1alpha1",
        "kind": "Configuration",
        "leaderElection": {"leaderElect": False},
        "internalCertManagement": {"enable": False},
        "metrics": {"bindAddress": "0"},
        "health": {"healthProbeBindAddress": f"127.0.0.1:{health}"},
        "webhook": {"host": "127.0.0.1", "port": webhook, "certDir": str(folder)},
    }
    file = folder / "configuration.yaml"
    file.write_text(yaml.safe_dump(configuration), encoding="utf-8")
    return file


def _answers(cluster: Cluster) -> bool:
    """Whether a request goes through the webhooks: an empty JobSet passes them."""
    probe = {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {"name": "probe", "namespace": "default"},
        "spec": {"replicatedJobs": []},
    }
    try:
        cluster.call("POST", "/apis/jobset.x-k8s.io/v1alpha2/namespaces/default/jobsets?dryRun=All", probe)
    except Refused:
        return False
    return True
