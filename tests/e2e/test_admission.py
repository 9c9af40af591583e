"""The admission rules of base/admission on a real API server: every sample of tests/fixtures/admission, asked for real."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.e2e import platform_tree, samples
from tests.e2e.binaries import Cache
from tests.e2e.cluster import Cluster, Manifest, read
from tests.e2e.processes import wait_for
from tests.e2e.samples import SAMPLES, Sample

pytestmark = pytest.mark.e2e

BASE = Path(__file__).parents[2] / "base" / "admission"
FILES = sorted(SAMPLES.glob("*/*.yaml"))
RULES = sorted(file.stem for file in BASE.glob("*.yaml") if file.stem != "kustomization")
_BINDING: Manifest = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRoleBinding",
    "metadata": {"name": samples.GROUP},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
    "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": samples.GROUP}],
}


@pytest.fixture(scope="module")
def rules(cluster: Cluster, built: Cache) -> Iterator[Cluster]:
    """The cluster with the rules and the samples' tenants.

    The rules stay when the tests are done: an API server that has lost all of them no longer sees new limits.
    """
    cluster.apply(_BINDING, *platform_tree.render(built.program("kustomize"), BASE))
    for manifest in read(SAMPLES / "tenants.yaml"):
        samples.make(cluster, manifest)
    for rule in RULES:  # each has a watch of its own, which takes a moment to begin
        sample = Sample.read(min((SAMPLES / rule).glob("denied-*.yaml")))
        wait_for(partial(sample.answer, cluster, built.program("kubectl")), f"the rule {rule}", 30)
    yield cluster
    _remove_namespaces(cluster)
    cluster.call("DELETE", cluster._path("ClusterRoleBinding", None, samples.GROUP, _BINDING["apiVersion"]))


def _remove_namespaces(cluster: Cluster) -> None:
    """As a person would: confirmed, and while the rules still look on."""
    found = [namespace["metadata"]["name"] for namespace in cluster.list("Namespace")]
    ours = [name for name in found if name.startswith("admission-") or name == "scratch"]
    for name in ours:
        cluster.patch("Namespace", name, None, {"metadata": {"annotations": {"finetuning/deletion-confirmed": name}}})
        cluster.delete("Namespace", name)
    for name in ours:
        wait_for(partial(_gone, cluster, name), f"the end of namespace {name}")


def _gone(cluster: Cluster, namespace: str) -> bool:
    return cluster.get("Namespace", namespace) is None


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_sample_is_answered_as_its_name_says(rules: Cluster, built: Cache, file: Path) -> None:
    """What is allowed passes every rule; what is denied is refused by its own rule, with what was found and what to do."""
    sample = Sample.read(file)
    message = sample.answer(rules, built.program("kubectl"))
    if not sample.denied:
        assert message is None
        return
    assert message is not None, "nothing refused it"
    if sample.rule != "elsewhere":
        assert f"ValidatingAdmissionPolicy 'finetuning-{sample.rule}' with binding" in message
        assert sample.says
        assert sample.says in message
        assert message.count("; ") == 2, "found; allowed; what to do"


def test_rendered_run_passes(rules: Cluster, built: Cache) -> None:
    """The Jobs of this repository's own overlay pass every rule, with the limits of its own tenant."""
    namespace, application = "admission-rendered", "team-a.exp-001"
    labels = {"finetuning/tenant": "team-a", "pod-security.kubernetes.io/enforce": "restricted"}
    samples.make(rules, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}})
    overlays = platform_tree.ROOT / "overlays" / "dev"
    tenant = platform_tree.render(built.program("kustomize"), overlays / "_tenants" / "team-a")
    limits = next(manifest for manifest in tenant if manifest["metadata"]["name"] == "tenant-limits")
    samples.make(rules, _applied_by("finetuning-tenant-team-a", limits, namespace))
    run = platform_tree.render(built.program("kustomize"), overlays / "team-a" / "exp-001")
    jobs = [_applied_by(application, manifest, namespace) for manifest in run if manifest["kind"] == "Job"]
    assert len(jobs) == 2
    for job in jobs:  # not for good: an unscheduled pod holds up the end of its namespace for a minute
        samples.make(rules, job, dry_run=True)


def _applied_by(application: str, manifest: Manifest, namespace: str) -> Manifest:
    """The manifest in another namespace, with what Argo CD writes into it."""
    meta = manifest["metadata"] | {"namespace": namespace}
    tracking = f"{application}:{manifest['apiVersion']}/{manifest['kind']}:{namespace}/{meta['name']}"
    meta["annotations"] = (meta.get("annotations") or {}) | {"argocd.argoproj.io/tracking-id": tracking}
    return manifest | {"metadata": meta}
