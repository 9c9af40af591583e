"""A served model under a real Argo CD, as the serving team's example runs it: served, changed, rolled back, gone.

Nothing here loads a model, as there is no node: tests/serving has a real vLLM. The Deployment's pods are made ready by hand.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests import audited
from tests.e2e import platform_tree, pods
from tests.e2e.argocd import NAMESPACE, ArgoCD
from tests.e2e.cluster import Cluster, Manifest, parsed
from tests.e2e.processes import holds, wait_for
from tests.e2e.repositories import Repository
from tests.promoting import FILE, NAME, runs, serves
from tools.formats.audit import Audit
from tools.serving_file import text

pytestmark = pytest.mark.e2e

EXAMPLE = platform_tree.ROOT / "docs/examples/serving/argocd.yaml"
SCHEMA = platform_tree.ROOT / "tests/fixtures/gateway-api/httproute-v1.schema.json"
ROUTES = "httproutes.gateway.networking.k8s.io"
SERVED = "team-a-serving"
APPLICATION = "served.team-a.customer-topics"
WORKLOAD = "model-customer-topics"


@dataclass
class Served:
    """The platform's repository, what the serving team's Argo CD makes of it, and the two versions there are."""

    cluster: Cluster
    argocd: ArgoCD
    repository: Repository
    versions: tuple[Audit, Audit]

    def serve(self, version: int) -> None:
        """Commit that a version (3 or 4) is served, as the bot does, and tell Argo CD as webhooks do."""
        file = self.repository.work / FILE
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text("dev", NAME, serves(self.versions[version - 3])), encoding="utf-8")
        self._push(f"serve version {version}")
        if self.argocd.application(APPLICATION):
            self.argocd.refresh(APPLICATION)

    def withdraw(self) -> None:
        """Commit that nothing is served."""
        (self.repository.work / FILE).unlink()
        self._push("serve nothing")

    def _push(self, message: str) -> None:
        platform_tree.expand(self.repository.work, "--serving")
        self.repository.push(f"{NAME}: {message}")
        self.argocd.refresh_sets()

    def template(self) -> dict[str, Any]:
        """The pod template that is there; empty while there is none."""
        return self._template(self.cluster.get("Deployment", WORKLOAD, SERVED))

    def _template(self, found: Manifest | None) -> dict[str, Any]:
        return dict(found["spec"]["template"]) if found else {}

    def reaches(self, version: int) -> dict[str, Any]:
        """Wait until the pods of a version are to run; returns their template."""
        wanted = serves(self.versions[version - 3]).publication

        def look() -> dict[str, Any] | None:
            template = self.template()
            found = template.get("metadata", {}).get("annotations", {}).get("finetuning/publication-sha256")
            return template if found == wanted else None

        return wait_for(look, f"version {version} in the Deployment", 60, [self.argocd.controller, self.argocd.sets])

    def pods(self) -> dict[str, Manifest]:
        """Pods that are there, by the hash that they serve."""
        found = self.cluster.list("Pod", SERVED, "finetuning/model=customer-topics")
        found = [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]
        return {pod["metadata"]["annotations"]["finetuning/publication-sha256"]: pod for pod in found}

    def routed(self) -> Manifest:
        """Accept the model's route as its gateway would, and return it."""
        route = wait_for(lambda: self.cluster.get("HTTPRoute", WORKLOAD, SERVED), "the route")
        meta, (parent,) = route["metadata"], route["spec"]["parentRefs"]
        at = {"lastTransitionTime": meta["creationTimestamp"], "observedGeneration": meta["generation"]}
        conditions = [
            {"type": each, "status": "True", "reason": each, "message": "", **at}
            for each in ("Accepted", "ResolvedRefs")
        ]
        accepted = {"controllerName": "gateway.example/tests", "parentRef": parent, "conditions": conditions}
        self.cluster.patch("HTTPRoute", WORKLOAD, SERVED, {"status": {"parents": [accepted]}}, status=True)
        return route

    def ready(self, version: int) -> None:
        """Let the version's pod answer, and wait until it alone is left and Argo CD is content."""
        wanted = serves(self.versions[version - 3]).publication
        pods.start(self.cluster, wait_for(lambda: self.pods().get(wanted), f"a pod of version {version}"))
        wait_for(lambda: [*self.pods()] == [wanted], f"version {version} alone")
        self.argocd.settled(APPLICATION)

    def lacking(self) -> set[str]:
        """ConfigMaps that a pod names and that are not there: its container could not start again."""
        named = {
            source["configMapRef"]["name"]
            for pod in self.pods().values()
            for container in pod["spec"]["containers"]
            for source in container.get("envFrom", [])
        }
        return named - {each["metadata"]["name"] for each in self.cluster.list("ConfigMap", SERVED)}


@pytest.fixture
def served(cluster: Cluster, argocd: ArgoCD, repository: Repository) -> Iterator[Served]:
    """The Gateway API's kind, the serving team's namespace and its copy of the example, over two finished runs."""
    cluster.apply(_routes(), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SERVED}})
    wait_for(lambda: _known(cluster), "the kind HTTPRoute")
    argocd.controller.stop()  # a kind that comes later: docs/install.md says so of JobSet
    argocd.controller.start()
    versions = runs(platform_tree.ROOT)
    for record in versions:
        audited.write(repository.work, record)
    example = _example(repository)
    cluster.apply(*example)
    yield Served(cluster, argocd, repository, versions)
    for manifest in reversed(example):
        cluster.delete(manifest["kind"], manifest["metadata"]["name"], NAMESPACE)
    shutil.rmtree(repository.work / "audit")
    cluster.delete("Namespace", SERVED)
    cluster.delete("CustomResourceDefinition", ROUTES)


def _known(cluster: Cluster) -> bool:
    """Whether the API server serves the Gateway API's kind."""
    groups = cluster.call("GET", "/apis")["groups"]
    return any(each["name"] == "gateway.networking.k8s.io" for each in groups)


def _routes() -> Manifest:
    """The custom resource HTTPRoute, with the schema and the defaults of the Gateway API's own."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {key: value for key, value in schema.items() if key != "$comment"}},
        "subresources": {"status": {}},
    }
    group, names = "gateway.networking.k8s.io", {"kind": "HTTPRoute", "plural": "httproutes", "singular": "httproute"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        # The group is Kubernetes' own, so the API server asks where it was approved.
        "metadata": {
            "name": ROUTES,
            "annotations": {"api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/gateway-api/pull/2997"},
        },
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {**names, "listKind": "HTTPRouteList"},
            "versions": [version],
        },
    }


def _example(repository: Repository) -> list[Manifest]:
    """The serving team's project and ApplicationSet, with the test's repository and key in it."""
    changed = EXAMPLE.read_text(encoding="utf-8")
    for old, new in (
        ("https://gitlab.example/ml/llm-finetuning.git", repository.url),
        ('"0000000000000000"', f'"{repository.key_id}"'),
    ):
        assert old in changed
        changed = changed.replace(old, new)
    return parsed(changed)


def test_a_promotion_restarts_a_revert_rolls_back_and_none_takes_the_route_away(served: Served) -> None:
    """What the branch says is what runs: each version's pods and route, the old one until the new one is ready; then nothing."""
    served.serve(3)
    first = served.reaches(3)
    assert served.routed()["spec"]["rules"][0]["backendRefs"][0]["name"] == WORKLOAD
    served.ready(3)
    # What the API server fills in is no difference: a route is not applied again and again.
    holds(lambda: served.argocd.differing(APPLICATION) == [], "the route in sync")

    served.serve(4)
    second = served.reaches(4)
    assert second["spec"]["containers"][0]["envFrom"] != first["spec"]["containers"][0]["envFrom"]
    wait_for(lambda: len(served.pods()) == 2, "a pod of each version")
    wait_for(lambda: served.argocd.operation(APPLICATION).get("phase") == "Succeeded", "the end of the sync")
    assert not served.lacking(), "the old version could not start again while the new one loads"
    served.ready(4)

    served.serve(3)
    assert served.reaches(3) == first
    served.ready(3)

    served.withdraw()
    wait_for(lambda: served.argocd.application(APPLICATION) is None, f"the end of {APPLICATION}")
    for kind in ("Deployment", "Service", "HTTPRoute"):
        assert served.cluster.get(kind, WORKLOAD, SERVED) is None
    names = {each["metadata"]["name"] for each in served.cluster.list("ConfigMap", SERVED)}
    assert not [name for name in names if name.startswith("served-model")]
