"""Argo CD's API server on loopback, for the tests that ask it something: tokens of project roles, and webhooks."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.e2e.argocd import NAMESPACE, ArgoCD
from tests.e2e.processes import free_ports, wait_for

_NAME = "argocd-server"


class ArgoCDServer:
    """The running server, as any HTTP client sees it."""

    def __init__(self, url: str, argocd: ArgoCD) -> None:
        self.url = url
        self._argocd = argocd

    def role_token(self, project: str, role: str = "bot") -> str:
        """A token of a project's role, good for an hour, as `argocd proj role create-token` makes it."""
        body = {"project": project, "role": role, "expiresIn": 3600}
        path = f"/api/v1/projects/{project}/roles/{role}/token"
        return str(self.call("POST", path, body, token=self._administrator())["token"])

    def call(self, method: str, path: str, body: Any = None, *, token: str = "") -> Any:
        """The server's answer as data.

        Raises:
            urllib.error.HTTPError: it refuses.
        """
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        request = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.loads(response.read())

    def healthy(self) -> bool:
        """Whether it answers."""
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=5) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    def _administrator(self) -> str:
        secret = self._argocd.cluster.get("Secret", "argocd-initial-admin-secret", NAMESPACE)
        password = base64.b64decode((secret or {})["data"]["password"]).decode()
        return str(self.call("POST", "/api/v1/session", {"username": "admin", "password": password})["token"])


@contextmanager
def running(argocd: ArgoCD) -> Iterator[ArgoCDServer]:
    """Start it, and stop it at the end."""
    port, metrics = free_ports(2)
    ports = argocd.ports
    program = argocd.start(
        _NAME,
        *("--insecure", "--address", "127.0.0.1", "--port", str(port), "--staticassets", ""),
        *("--metrics-address", "127.0.0.1", "--metrics-port", str(metrics), "--namespace", NAMESPACE),
        *("--redis", f"127.0.0.1:{ports.redis}", "--repo-server", f"127.0.0.1:{ports.repository}"),
        *("--repo-server-plaintext", "--kubeconfig", argocd.sign_in(_NAME)),
    )
    try:
        server = ArgoCDServer(f"http://127.0.0.1:{port}", argocd)
        wait_for(server.healthy, "argocd-server", 60, [program])
        yield server
    finally:
        program.stop()
