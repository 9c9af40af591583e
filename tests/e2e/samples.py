"""Sample manifests for the admission rules, and the API server's answer to each (tests/fixtures/admission/README.md)."""

from __future__ import annotations

import json
import subprocess
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.cluster import Cluster, Manifest
from tests.e2e.processes import wait_for

SAMPLES = Path(__file__).parents[1] / "fixtures" / "admission"
ARGO_CD = "system:serviceaccount:argocd:argocd-application-controller"
# RBAC lets this group do everything, so that nothing but admission refuses.
GROUP = "finetuning:samples"
# Who makes what an update or a deletion finds: the one whom the rules let.
_MAKERS = {"Pod": "system:serviceaccount:kube-system:job-controller"}
_JSON = "application/json"
_PATCH = "application/merge-patch+json"
_STRATEGIC = "application/strategic-merge-patch+json"


@dataclass(frozen=True)
class Sample:
    """One file: who asks for what, and what the answer has to be."""

    file: Path
    user: str
    groups: list[str]
    verb: str
    subresource: str
    path: str
    says: str
    documents: list[Manifest] = field(repr=False)

    @classmethod
    def read(cls, file: Path) -> Sample:
        """The sample in a file."""
        text = file.read_text(encoding="utf-8")
        comments = [line.removeprefix("# ") for line in text.splitlines() if line.startswith("# ")]
        said = dict(line.split(": ", 1) for line in comments[1:])
        verb, _, subresource = said.get("do", "create").partition(" ")
        groups = [group for group in said.get("groups", "").split(",") if group]
        documents = list(yaml.safe_load_all(text))
        return cls(file, said["as"], groups, verb, subresource, said.get("path", ""), said.get("says", ""), documents)

    @property
    def rule(self) -> str:
        """The rule that it is a sample of."""
        return self.file.parent.name

    @property
    def denied(self) -> bool:
        """Whether it has to be refused."""
        return self.file.name.startswith("denied-")

    def answer(self, cluster: Cluster, kubectl: str) -> str | None:
        """Why admission refuses the sample; None when it does not. Changes nothing but what has to be there before."""
        if self.verb == "connect":
            return self._connect(cluster, kubectl)
        before = self.documents[0]
        if self.verb != "create":
            make(cluster, before)
        try:
            return _refusal(*self._ask(cluster, before))
        finally:
            if self.verb != "create" and before["kind"] in {"Job", "Pod", "NetworkPolicy"}:
                _remove(cluster, before)

    def _ask(self, cluster: Cluster, before: Manifest) -> tuple[int, str]:
        if self.verb == "create":
            return _request(cluster, "POST", f"{_path(cluster, before)}?dryRun=All", self.user, self.groups, before)
        path = _path(cluster, before, before["metadata"]["name"])
        if self.verb == "delete":
            return _request(cluster, "DELETE", f"{path}?dryRun=All", self.user, self.groups)
        path += f"/{self.subresource}" if self.subresource else ""
        kind = _STRATEGIC if before["kind"] == "Pod" else _PATCH  # containers are found by their name
        return _request(cluster, "PATCH", f"{path}?dryRun=All", self.user, self.groups, self.documents[1], kind)

    def _connect(self, cluster: Cluster, kubectl: str) -> str | None:
        """`kubectl proxy` refuses streams itself, so kubectl asks; the pod need not be there, as admission comes first."""
        groups = [part for group in (GROUP, *self.groups) for part in ("--as-group", group)]
        command = [kubectl, "--kubeconfig", str(cluster.kubeconfig), "--as", self.user, *groups]
        done = subprocess.run(
            [*command, "create", "--raw", self.path, "-f", self.file], check=False, capture_output=True, text=True
        )
        assert done.returncode != 0, "there is no such pod"
        return done.stderr if "ValidatingAdmissionPolicy" in done.stderr else None


def make(cluster: Cluster, manifest: Manifest, *, dry_run: bool = False) -> None:
    """Create an object as the one whom the rules let; one that is there stays as it is.

    dry_run: the API server asks every rule and stores nothing.
    """
    maker = _MAKERS.get(manifest["kind"], ARGO_CD)
    path = _path(cluster, manifest) + ("?dryRun=All" if dry_run else "")

    def made() -> bool:
        """False while the API server has not yet seen a new tenant's limits."""
        code, message = _request(cluster, "POST", path, maker, [], manifest)
        assert code in {201, 409} or "no params found" in message, message
        return code in {201, 409}

    wait_for(made, f"{manifest['kind']} {manifest['metadata']['name']}", 20)


def _remove(cluster: Cluster, manifest: Manifest) -> None:
    kind, meta = manifest["kind"], manifest["metadata"]
    path, now = _path(cluster, manifest, meta["name"]), {"propagationPolicy": "Background", "gracePeriodSeconds": 0}
    _request(cluster, "DELETE", path, ARGO_CD, [], now)
    wait_for(
        lambda: cluster.get(kind, meta["name"], meta["namespace"]) is None, f"the end of {kind} {meta['name']}", 30
    )


def _path(cluster: Cluster, manifest: Manifest, name: str | None = None) -> str:
    namespace = manifest["metadata"].get("namespace")
    return cluster._path(manifest["kind"], namespace, name, manifest["apiVersion"])


def _request(
    cluster: Cluster,
    method: str,
    path: str,
    user: str,
    groups: list[str],
    body: Any = None,
    content_type: str = _JSON,
) -> tuple[int, str]:
    """Code and message of the API server's answer to a user."""
    connection = HTTPConnection(cluster._server.removeprefix("http://"), timeout=30)
    connection.putrequest(method, path)
    data = b"" if body is None else json.dumps(body).encode()
    headers = [("Content-Type", content_type), ("Content-Length", str(len(data))), ("Impersonate-User", user)]
    for name, value in [*headers, *(("Impersonate-Group", group) for group in (GROUP, *groups))]:
        connection.putheader(name, value)
    connection.endheaders(data)
    with closing(connection), connection.getresponse() as response:
        answer = json.loads(response.read())
        return response.status, str(answer.get("message", ""))


def _refusal(code: int, message: str) -> str | None:
    """The message, if it is admission's; anything else that the API server finds wrong is a fault of the sample.

    Raises:
        AssertionError: the request failed before or after admission.
    """
    if "ValidatingAdmissionPolicy" in message or "violates PodSecurity" in message:
        return message
    assert code < 300, f"{code}: {message}"
    return None
