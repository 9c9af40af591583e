"""Argo CD on loopback: redis, repo-server, application controller and ApplicationSet controller as programs.

Roles, service accounts and custom resources are Argo CD's own manifests. The controllers sign in as their service accounts,
`system:serviceaccount:argocd:argocd-application-controller` above all: the admission policies under test look at that name.
Signatures are verified for real, by the gpg scripts of Argo CD's image and a keyring of its own.
"""

from __future__ import annotations

import secrets
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.binaries import Cache
from tests.e2e.cluster import Cluster, Manifest, read
from tests.e2e.processes import Program, Programs, free_ports, listening, wait_for

NAMESPACE = "argocd"
_CONTROLLER = "argocd-application-controller"
_SETS = "argocd-applicationset-controller"
WEBHOOK_SECRET = "of-this-test-run"
_CLUSTER_WIDE = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"}
_LABELS = {"app.kubernetes.io/part-of": "argocd"}


@dataclass
class Ports:
    """Loopback ports, the same after a restart."""

    redis: int
    repository: int
    repository_metrics: int
    controller_metrics: int
    sets_metrics: int
    sets_probe: int
    sets_webhook: int


@dataclass
class ArgoCD:
    """The running programs and what tests ask of Argo CD."""

    cluster: Cluster
    redis: Program
    repo_server: Program
    controller: Program
    sets: Program
    ports: Ports
    start: Callable[..., Program]  # another of its programs: name, arguments, environment
    sign_in: Callable[[str], str]  # a kubeconfig of one of its service accounts

    def application(self, name: str) -> Manifest | None:
        """An Application, None when there is none."""
        return self.cluster.get("Application", name, NAMESPACE)

    def refresh_sets(self) -> None:
        """Look at git now for every ApplicationSet, as a webhook does."""
        change = {"metadata": {"annotations": {"argocd.argoproj.io/application-set-refresh": "true"}}}
        for found in self.cluster.list("ApplicationSet", NAMESPACE):
            self.cluster.patch("ApplicationSet", found["metadata"]["name"], NAMESPACE, change)

    def refresh(self, name: str, *, hard: bool = False) -> None:
        """Compare an Application with git now; `hard` also forgets every rendered manifest. Returns when it is done."""
        annotation = "argocd.argoproj.io/refresh"
        change = {"metadata": {"annotations": {annotation: "hard" if hard else "normal"}}}
        self.cluster.patch("Application", name, NAMESPACE, change)
        wait_for(
            lambda: annotation not in self._annotations(name), f"the refresh of {name}", programs=[self.controller]
        )

    def terminate(self, name: str) -> None:
        """End the running operation, as `argocd app terminate-op` does."""
        self.cluster.patch("Application", name, NAMESPACE, {"status": {"operationState": {"phase": "Terminating"}}})

    def settled(self, name: str) -> None:
        """Wait until an Application is there, synced and healthy."""

        def look() -> bool:
            status = (self.application(name) or {}).get("status") or {}
            found = [status.get(part, {}).get("status") for part in ("sync", "health")]
            return found == ["Synced", "Healthy"]

        wait_for(look, f"{name} synced and healthy", programs=[self.controller, self.sets])

    def differing(self, name: str) -> list[str]:
        """The objects of an Application that are not as git has them."""
        status = (self.application(name) or {})["status"]
        # A hook's entry has no status: hooks are run, not compared.
        wrong = [each for each in status["resources"] if not each.get("hook") and each.get("status") != "Synced"]
        return [f"{each['kind']} {each.get('namespace', '')}/{each['name']}" for each in wrong]

    def sync(self, name: str) -> None:
        """Start a sync, as `argocd app sync` does."""
        self.cluster.patch("Application", name, NAMESPACE, {"operation": {"sync": {"prune": True}}})

    def operation(self, name: str) -> dict[str, Any]:
        """State of the last or running operation (phase, message, syncResult); empty when there was none."""
        state: dict[str, Any] = ((self.application(name) or {}).get("status") or {}).get("operationState") or {}
        return state

    def _annotations(self, name: str) -> dict[str, str]:
        annotations: dict[str, str] = (self.application(name) or {}).get("metadata", {}).get("annotations") or {}
        return annotations


@contextmanager
def running(built: Cache, cluster: Cluster, folder: Path, programs: Programs, keys: dict[str, str]) -> Iterator[ArgoCD]:
    """Argo CD from installation to the last program's end.

    keys: GnuPG key id (16 hexadecimal digits) -> public key in ASCII armour, which signatures are checked against.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _install(built, cluster, keys)
    gnupg = folder / "gnupg"
    gnupg.mkdir(mode=0o700)
    try:
        yield _start(built, cluster, folder, programs, keys)
    finally:  # gpg starts its agents in sessions of their own
        subprocess.run(["gpgconf", "--homedir", gnupg, "--kill", "all"], check=False, capture_output=True)


def _install(built: Cache, cluster: Cluster, keys: dict[str, str]) -> None:
    """Custom resources, roles and settings, from Argo CD's own manifests."""
    manifests = built.files("argocd") / "manifests"
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    roles = [
        *(manifests / "base" / "application-controller-roles").glob("argocd-*.yaml"),
        *(manifests / "base" / "applicationset-controller").glob("argocd-*-role*.yaml"),
        *(manifests / "base" / "applicationset-controller").glob("argocd-*-sa.yaml"),
        *(manifests / "base" / "server").glob("argocd-*-role*.yaml"),
        *(manifests / "base" / "server").glob("argocd-*-sa.yaml"),
        *(manifests / "base" / "notification").glob("argocd-*-role*.yaml"),
        *(manifests / "base" / "notification").glob("argocd-*-sa.yaml"),
        *(manifests / "cluster-rbac" / "application-controller").glob("argocd-*.yaml"),
        *(manifests / "cluster-rbac" / "server").glob("argocd-*.yaml"),
        *(manifests / "base" / "config").glob("argocd-*.yaml"),
    ]
    crds = read(*(manifests / "crds").glob("*-crd.yaml"))
    cluster.apply(*crds, *(_in_namespace(manifest) for manifest in read(*roles)))
    cluster.apply(
        _settings("ConfigMap", "argocd-gpg-keys-cm", data=keys),
        _settings("Secret", "argocd-secret", stringData=_secrets()),
    )
    wait_for(lambda: all(_served(cluster, crd["spec"]) for crd in crds), "Argo CD's custom resources", 20)


def _secrets() -> dict[str, str]:
    return {"server.secretkey": secrets.token_hex(16), "webhook.gitlab.secret": WEBHOOK_SECRET}


def _served(cluster: Cluster, definition: Manifest) -> bool:
    group = cluster.call("GET", f"/apis/{definition['group']}/{definition['versions'][0]['name']}")
    return any(each["name"] == definition["names"]["plural"] for each in group["resources"])


def _in_namespace(manifest: Manifest) -> Manifest:
    """The manifest as kustomize would place it in Argo CD's namespace."""
    if manifest["kind"] not in _CLUSTER_WIDE:
        manifest["metadata"]["namespace"] = NAMESPACE
    for subject in manifest.get("subjects", []):
        subject["namespace"] = NAMESPACE
    return manifest


def _settings(kind: str, name: str, **content: Any) -> Manifest:
    meta = {"name": name, "namespace": NAMESPACE, "labels": _LABELS}
    return {"apiVersion": "v1", "kind": kind, "metadata": meta, **content}


def _start(built: Cache, cluster: Cluster, folder: Path, programs: Programs, keys: dict[str, str]) -> ArgoCD:
    ports = Ports(*free_ports(7))
    environment = _environment(built, folder, keys)
    redis_address = f"127.0.0.1:{ports.redis}"
    redis = programs.start("redis", _redis(ports.redis))

    def start(name: str, *arguments: str, **more: str) -> Program:
        """One of Argo CD's programs: they are one file that looks at an environment variable."""
        named = environment | {"ARGOCD_BINARY_NAME": name} | more
        return programs.start(name, [built.program("argocd"), *arguments], named)

    def sign_in(account: str) -> str:
        return str(cluster.sign_in(folder / f"{account}.yaml", NAMESPACE, account))

    repo_server = start(
        "argocd-repo-server",
        *("--redis", redis_address, "--disable-tls", "--address", "127.0.0.1", "--port", str(ports.repository)),
        *("--metrics-address", "127.0.0.1", "--metrics-port", str(ports.repository_metrics)),
    )
    wait_for(
        lambda: listening(ports.redis) and listening(ports.repository), "repo-server", programs=[redis, repo_server]
    )
    repository = ["--repo-server-plaintext", "--namespace", NAMESPACE]
    controller_access = sign_in(_CONTROLLER)
    controller = start(
        _CONTROLLER,
        *(*repository, "--repo-server", f"127.0.0.1:{ports.repository}", "--redis", redis_address),
        *("--kubeconfig", controller_access, "--metrics-port", str(ports.controller_metrics)),
        KUBECONFIG=controller_access,
    )
    sets_access = sign_in(_SETS)
    sets = start(
        _SETS,
        *(*repository, "--argocd-repo-server", f"127.0.0.1:{ports.repository}", "--kubeconfig", sets_access),
        *("--metrics-addr", f"127.0.0.1:{ports.sets_metrics}", "--probe-addr", f"127.0.0.1:{ports.sets_probe}"),
        *("--webhook-addr", f"127.0.0.1:{ports.sets_webhook}"),
        NAMESPACE=NAMESPACE,
        KUBECONFIG=sets_access,
        # It would look for the signature of a commit before it fetches it, and fail (argoproj/argo-cd#23689, open in 3.4):
        # it lists the folders of unsigned commits too, and the Applications then refuse to apply them.
        ARGOCD_GPG_ENABLED="false",
    )
    argocd = ArgoCD(cluster, redis, repo_server, controller, sets, ports, start, sign_in)
    wait_for(lambda: _answers(ports.controller_metrics), "the application controller", programs=[controller])
    wait_for(lambda: listening(ports.sets_probe), "the ApplicationSet controller", programs=[sets])
    return argocd


def _redis(port: int) -> list[str]:
    return ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]


def _environment(built: Cache, folder: Path, keys: dict[str, str]) -> dict[str, str]:
    """What the image's environment would say; signature keys lie as the ConfigMap's volume would lay them."""
    for name in ("tls", "ssh", "keys", "temporary"):
        (folder / name).mkdir()
    for key, armour in keys.items():
        (folder / "keys" / key).write_text(armour, encoding="utf-8")
    return {
        "PATH": f"{built.bin}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(folder),
        "TMPDIR": str(folder / "temporary"),
        "ARGOCD_FAKE_IN_CLUSTER": "true",  # outside a pod: KUBECONFIG stands for https://kubernetes.default.svc
        "ARGOCD_GPG_ENABLED": "true",
        "ARGOCD_GNUPGHOME": str(folder / "gnupg"),
        "ARGOCD_GPG_DATA_PATH": str(folder / "keys"),
        "ARGOCD_TLS_DATA_PATH": str(folder / "tls"),
        "ARGOCD_SSH_DATA_PATH": str(folder / "ssh"),
    }


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False
