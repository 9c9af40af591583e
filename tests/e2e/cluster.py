"""A Kubernetes API as tests use it: plain HTTP through `kubectl proxy`, whatever way of signing in the kubeconfig has."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.error
import urllib.request
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from tests.e2e.processes import Program, Programs, wait_for

Manifest = dict[str, Any]

_SERVING = re.compile(r"Starting to serve on 127\.0\.0\.1:(\d+)")
_MERGE = "application/merge-patch+json"
_APPLY = "application/apply-patch+yaml"
# What the tests look at by kind alone; manifests bring their own apiVersion.
_KINDS = {
    "Application": "argoproj.io/v1alpha1",
    "ApplicationSet": "argoproj.io/v1alpha1",
    "AppProject": "argoproj.io/v1alpha1",
    "Job": "batch/v1",
    "ResourceQuota": "v1",
    "JobSet": "jobset.x-k8s.io/v1alpha2",
    "NetworkPolicy": "networking.k8s.io/v1",
    "Workload": "kueue.x-k8s.io/v1beta1",
    "ClusterQueue": "kueue.x-k8s.io/v1beta1",
    "Deployment": "apps/v1",
    "HTTPRoute": "gateway.networking.k8s.io/v1",
    "CustomResourceDefinition": "apiextensions.k8s.io/v1",
}


class Refused(Exception):  # noqa: N818 - the API server's answer, not a fault of the test
    """The API server answered with an error: `code` is HTTP's, `message` the server's."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Cluster:
    """The API server behind one kubeconfig, as one user."""

    def __init__(self, kubeconfig: Path, kubectl: str, proxy: Program) -> None:
        self.kubeconfig = kubeconfig
        self._kubectl = kubectl
        self._proxy = proxy
        self._resources: dict[tuple[str, str], str] = {}
        self._headers: dict[str, str] = {}

    def impersonating(self, service_account: str) -> Cluster:
        """The same cluster as a service account, `<namespace>:<name>`."""
        other = copy(self)
        other._headers = {"Impersonate-User": f"system:serviceaccount:{service_account}"}
        return other

    @classmethod
    def connect(cls, kubeconfig: Path, kubectl: str, programs: Programs, name: str = "kubectl-proxy") -> Cluster:
        """Start the proxy that all calls go through."""
        command = [kubectl, "--kubeconfig", str(kubeconfig), "proxy", "--port=0"]
        return cls(kubeconfig, kubectl, programs.start(name, command))

    @cached_property
    def _server(self) -> str:
        match = wait_for(lambda: _SERVING.search(self._proxy.tail()), "kubectl proxy", 20, [self._proxy])
        return f"http://127.0.0.1:{match[1]}"

    def call(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        """The API server's answer as data.

        Raises:
            Refused: it answered with an error.
        """
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": content_type, **self._headers}
        request = urllib.request.Request(f"{self._server}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                text = response.read()
        except urllib.error.HTTPError as error:
            text = error.read()
            try:
                message = json.loads(text)["message"]
            except (ValueError, KeyError, TypeError):
                message = text.decode(errors="replace")
            raise Refused(error.code, message) from None
        return json.loads(text) if text.startswith((b"{", b"[")) else text.decode()

    def ready(self) -> bool:
        """Whether the API server says so."""
        try:
            return bool(self.call("GET", "/readyz") == "ok")
        except (Refused, OSError):
            return False

    def get(self, kind: str, name: str, namespace: str | None = None) -> Manifest | None:
        """An object, None when there is none."""
        try:
            found: Manifest = self.call("GET", self._path(kind, namespace, name))
        except Refused as refused:
            if refused.code == 404:
                return None
            raise
        return found

    def list(self, kind: str, namespace: str | None = None, labels: str = "") -> list[Manifest]:
        """The objects of a kind, optionally those that a label selector finds."""
        query = f"?{urlencode({'labelSelector': labels})}" if labels else ""
        return list(self.call("GET", self._path(kind, namespace) + query)["items"])

    def apply(self, *manifests: Manifest) -> None:
        """Create the objects or change them to what the manifests say (server-side apply)."""
        for manifest in manifests:
            meta = manifest["metadata"]
            path = self._path(manifest["kind"], meta.get("namespace"), meta["name"], manifest["apiVersion"])
            self.call("PATCH", f"{path}?fieldManager=e2e&force=true", manifest, _APPLY)

    def create(self, manifest: Manifest) -> Manifest:
        """Create an object as a user would and return it."""
        path = self._path(manifest["kind"], manifest["metadata"].get("namespace"), None, manifest["apiVersion"])
        created: Manifest = self.call("POST", path, manifest)
        return created

    def patch(self, kind: str, name: str, namespace: str | None, change: Manifest, *, status: bool = False) -> None:
        """Merge a change into an object, or into its status."""
        path = self._path(kind, namespace, name) + ("/status" if status else "")
        self.call("PATCH", path, change, _MERGE)

    def delete(self, kind: str, name: str, namespace: str | None = None, *, propagation: str = "Background") -> None:
        """Ask for an object's deletion; nothing happens when there is none."""
        try:
            self.call("DELETE", self._path(kind, namespace, name), {"propagationPolicy": propagation})
        except Refused as refused:
            if refused.code != 404:
                raise

    def token(self, namespace: str, service_account: str) -> str:
        """A token of a service account, good for a day."""
        path = f"{self._path('ServiceAccount', namespace, service_account)}/token"
        answer = self.call("POST", path, {"spec": {"expirationSeconds": 86400}})
        return str(answer["status"]["token"])

    def sign_in(self, file: Path, namespace: str, service_account: str) -> Path:
        """Write a kubeconfig of a service account, for a program that works as it."""
        view = ["config", "view", "--raw", "--minify", "--flatten", "--output", "json"]
        command = [self._kubectl, "--kubeconfig", str(self.kubeconfig), *view]
        config = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        return kubeconfig(file, config["clusters"][0]["cluster"], self.token(namespace, service_account))

    def _path(self, kind: str, namespace: str | None, name: str | None = None, version: str | None = None) -> str:
        version = version or _KINDS.get(kind, "v1")
        base = f"/api/{version}" if "/" not in version else f"/apis/{version}"
        if (version, kind) not in self._resources:
            for found in self.call("GET", base)["resources"]:
                if "/" not in found["name"]:
                    self._resources[version, found["kind"]] = found["name"]
        parts = [base, *(("namespaces", namespace) if namespace else ()), self._resources[version, kind]]
        return "/".join([*parts, name] if name else parts)


def read(*files: Path) -> list[Manifest]:
    """The objects in YAML files."""
    return [manifest for file in files for manifest in parsed(file.read_text(encoding="utf-8"))]


def parsed(text: str) -> list[Manifest]:
    """The objects in a stream of YAML documents."""
    return [document for document in yaml.load_all(text, yaml.CSafeLoader) if document]


def kubeconfig(file: Path, server: Manifest, token: str) -> Path:
    """Write a kubeconfig that signs in with a token; `server` is its `cluster` entry."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "e2e", "cluster": server}],
        "users": [{"name": "e2e", "user": {"token": token}}],
        "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": "e2e"}}],
        "current-context": "e2e",
    }
    file.touch(mode=0o600)
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


def has(manifest: Manifest | None, condition: str) -> bool:
    """Whether the object is there and its status has the condition, True."""
    conditions = ((manifest or {}).get("status") or {}).get("conditions") or []
    return any(each["type"] == condition and each["status"] == "True" for each in conditions)
