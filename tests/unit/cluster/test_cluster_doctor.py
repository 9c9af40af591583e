"""`ft doctor cluster` against a stand-in that holds what this repository's own overlays of dev say, then less or other."""

from __future__ import annotations

import copy
import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.platform_copy import ROOT
from tests.unit.cluster.standin import StandIn, kubeconfig, read, serving
from tools.cli import main
from tools.cluster.client import Cluster
from tools.cluster.doctor import desired, examination
from tools.cluster.doctor.checks import CHECKS
from tools.cluster.doctor.compare import Difference, differences
from tools.cluster.doctor.site import Site
from tools.examining import Result
from tools.repository import Repository

Object = dict[str, Any]


@dataclass
class Health:
    """A healthy cluster that a test makes ill."""

    api: StandIn
    site: Site
    options: list[str]

    def of(self, kind: str, name: str) -> Object:
        """One live object."""
        return next(item for item in self.api.objects if item["kind"] == kind and item["metadata"]["name"] == name)

    def drop(self, kind: str, name: str) -> None:
        """It is not there."""
        self.api.objects.remove(self.of(kind, name))

    def wrong(self) -> list[Result]:
        """What the checks find wrong."""
        return [result for result in examination.examine(self.site) if result.state == "wrong"]


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This repository's environments, tenants and overlays of dev, the overlays rendered once and for all."""
    target = tmp_path_factory.mktemp("doctor") / "platform"
    for folder in ("environments", "tenants", "catalog"):
        shutil.copytree(ROOT / folder, target / folder)
    for item in desired.wanted(Repository(ROOT), "dev"):
        overlay = target / item.folder
        overlay.mkdir(parents=True, exist_ok=True)
        (overlay / "kustomization.yaml").write_text("resources: [all.yaml]\n")
        with (overlay / "all.yaml").open("a") as stream:
            yaml.safe_dump(item.manifest, stream, explicit_start=True)
    return target


@pytest.fixture(scope="session")
def blueprint(platform: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """What is to be examined; its cluster is replaced by each test's own."""
    login = kubeconfig(tmp_path_factory.mktemp("nowhere"), "http://127.0.0.1:9")
    return examination.site(Repository(platform), "dev", Cluster.connect(login))


@pytest.fixture
def health(platform: Path, blueprint: Site, tmp_path: Path) -> Iterator[Health]:
    """Everything as it should be."""
    assert blueprint.environment.git is not None
    with serving(StandIn()) as api:
        fixture = ROOT / "tests" / "fixtures" / "cluster" / "doctor.yaml"
        api.objects = [copy.deepcopy(item.manifest) for item in blueprint.wanted]
        api.objects += read(fixture, KEY=blueprint.environment.git.signing_keys[0])
        api.answers["/version"] = {"minor": "34", "gitVersion": "v1.34.4"}
        for item in api.objects:
            if item["kind"] == "PersistentVolumeClaim":
                item["status"] = {"phase": "Bound"}
            if item["kind"] == "Application":
                item["status"] = {"sync": {"status": "Synced"}, "health": {"status": "Healthy"}}
        login = kubeconfig(tmp_path, api.url)
        site = dataclasses.replace(blueprint, cluster=Cluster.connect(login), _resources={})
        yield Health(api, site, ["--repo", str(platform), "--kubeconfig", str(login)])


def test_a_healthy_cluster_has_nothing_wrong(health: Health, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0, and what no API shows is said, not passed over."""
    assert health.wrong() == []
    assert main(["doctor", "cluster", "--env", "dev", *health.options]) == 0
    text = capsys.readouterr().out
    assert "unseen  base models on claim team-a-training/base-models" in text
    assert text.splitlines()[-1].endswith("1 cannot be seen from here")


def test_every_object_of_the_overlays_is_compared(health: Health, capsys: pytest.CaptureFixture[str]) -> None:
    """With none of them there, each is named once as missing, as text and as data."""
    for item in health.site.wanted:
        health.api.objects.remove(next(live for live in health.api.objects if _same(live, item.manifest)))
    assert main(["doctor", "cluster", "--env", "dev", *health.options, "--format", "json"]) == 1
    results = json.loads(capsys.readouterr().out)
    missing = [result["subject"] for result in results if result["check"] == "manifest" and result["state"] == "wrong"]
    assert sorted(missing) == sorted(item.subject for item in health.site.wanted)
    assert main(["doctor", "cluster", "--env", "dev", *health.options]) == 1
    text = capsys.readouterr().out
    assert [subject for subject in missing if f"wrong   {subject}  [manifest]" not in text] == []


def _same(left: Object, right: Object) -> bool:
    return left["kind"] == right["kind"] and all(
        left["metadata"].get(key) == right["metadata"].get(key) for key in ("name", "namespace")
    )


def change(kind: str, name: str, *path: Any) -> Callable[[Health], None]:
    """Set what the path (its last part the value) leads to."""

    def apply(health: Health) -> None:
        value: Any = health.of(kind, name)
        for part in path[:-2]:
            value = value[part]
        value[path[-2]] = path[-1]

    return apply


def drop(kind: str, name: str) -> Callable[[Health], None]:
    """Take an object away."""
    return lambda health: health.drop(kind, name)


def add(kind: str, version: str) -> Callable[[Health], None]:
    """Put an object into the tenant's namespace that no overlay knows."""
    metadata = {"name": "extra", "namespace": "team-a-training"}
    return lambda health: health.api.objects.append({"apiVersion": version, "kind": kind, "metadata": metadata})


_HEALTH = "resource.customizations.health.batch_Job"
_GENERATE = "argocd.argoproj.io/manifest-generate-paths"
# what is done to the cluster, the check and the subject that name it, part of what is found
ILLS: dict[str, tuple[Callable[[Health], None], str, str]] = {
    "old Kubernetes": (lambda h: h.api.answers["/version"].update(minor="30+"), "kubernetes-version", "Kubernetes v1.34.4"),
    "old Argo CD": (
        change("StatefulSet", "argocd-application-controller", "spec", "template", "spec", "containers", 0, "image", "x:v3.1.9"),
        "argocd-version",
        "Argo CD",
    ),
    "no Job health": (lambda h: h.of("ConfigMap", "argocd-cm")["data"].pop(_HEALTH), "manifest", f"ConfigMap argocd/argocd-cm: data.{_HEALTH}"),
    "other Job health": (change("ConfigMap", "argocd-cm", "data", _HEALTH, "return {}"), "manifest", f"ConfigMap argocd/argocd-cm: data.{_HEALTH}"),
    "no signature asked for": (change("AppProject", "finetuning-team-a", "spec", "signatureKeys", []), "manifest", "AppProject argocd/finetuning-team-a: spec.signatureKeys"),
    "any repository": (change("AppProject", "finetuning-team-a", "spec", "sourceRepos", ["*"]), "manifest", "AppProject argocd/finetuning-team-a: spec.sourceRepos[0]"),
    "cluster kinds": (change("AppProject", "finetuning-team-a", "spec", "clusterResourceWhitelist", [{"group": "*", "kind": "*"}]), "manifest", "AppProject argocd/finetuning-team-a: spec.clusterResourceWhitelist"),
    "no public key": (lambda h: h.of("ConfigMap", "argocd-gpg-keys-cm").pop("data"), "signing-key", "GPG key"),
    "no finalizer": (lambda h: h.of("ApplicationSet", "finetuning-team-a")["spec"]["template"]["metadata"].pop("finalizers"), "manifest", "ApplicationSet argocd/finetuning-team-a: spec.template.metadata.finalizers"),
    "every folder renders": (lambda h: h.of("ApplicationSet", "finetuning-team-a")["spec"]["template"]["metadata"]["annotations"].pop(_GENERATE), "manifest", f"ApplicationSet argocd/finetuning-team-a: spec.template.metadata.annotations.{_GENERATE}"),
    "self-heal": (change("ApplicationSet", "finetuning-team-a", "spec", "template", "spec", "syncPolicy", "automated", "selfHeal", True), "manifest", "ApplicationSet argocd/finetuning-team-a: spec.template.spec.syncPolicy.automated.selfHeal"),
    "an ApplicationSet in trouble": (
        change("ApplicationSet", "finetuning-team-a", "status", {"conditions": [{"type": "ErrorOccurred", "status": "True", "message": "no git"}]}),
        "application-set",
        "ApplicationSet argocd/finetuning-team-a",
    ),
    "a tenant out of sync": (change("Application", "finetuning-tenant-team-a", "status", "sync", "status", "OutOfSync"), "application", "Application argocd/finetuning-tenant-team-a"),
    "a tenant not followed": (drop("Application", "finetuning-tenant-team-a"), "application", "Application argocd/finetuning-tenant-team-a"),
    "no policy": (drop("ValidatingAdmissionPolicy", "finetuning-image"), "manifest", "ValidatingAdmissionPolicy finetuning-image"),
    "a policy that only warns": (change("ValidatingAdmissionPolicyBinding", "finetuning-image", "spec", "validationActions", ["Warn"]), "manifest", "ValidatingAdmissionPolicyBinding finetuning-image: spec.validationActions"),
    "a policy with a type error": (
        change("ValidatingAdmissionPolicy", "finetuning-image", "status", {"typeChecking": {"expressionWarnings": [{"fieldRef": "spec.validations[0].expression", "warning": "undeclared reference"}]}}),
        "policy",
        "ValidatingAdmissionPolicy finetuning-image: spec.validations[0].expression",
    ),
    "no priority": (drop("PriorityClass", "finetuning-high"), "manifest", "PriorityClass finetuning-high"),
    "lax Pod Security": (change("Namespace", "team-a-training", "metadata", "labels", "pod-security.kubernetes.io/enforce", "baseline"), "manifest", "Namespace team-a-training: metadata.labels.pod-security.kubernetes.io/enforce"),
    "another quota": (change("ResourceQuota", "finetuning", "spec", "hard", "requests.nvidia.com/gpu", "99"), "manifest", "ResourceQuota team-a-training/finetuning: spec.hard.requests.nvidia.com/gpu"),
    "no limits": (drop("LimitRange", "finetuning"), "manifest", "LimitRange team-a-training/finetuning"),
    "no network rule": (drop("NetworkPolicy", "deny-all"), "manifest", "NetworkPolicy team-a-training/deny-all"),
    "one network rule more": (add("NetworkPolicy", "networking.k8s.io/v1"), "stranger", "NetworkPolicy team-a-training/extra"),
    "one right more": (add("RoleBinding", "rbac.authorization.k8s.io/v1"), "stranger", "RoleBinding team-a-training/extra"),
    "a token for the pods": (lambda h: h.of("ServiceAccount", "default").pop("automountServiceAccountToken"), "manifest", "ServiceAccount team-a-training/default: automountServiceAccountToken"),
    "other limits than the tenant's": (change("ConfigMap", "tenant-limits", "data", "gpus", "64"), "manifest", "ConfigMap team-a-training/tenant-limits: data.gpus"),
    "an unbound claim": (change("PersistentVolumeClaim", "storage", "status", "phase", "Pending"), "claim-bound", "PersistentVolumeClaim team-a-training/storage"),
    "no StorageClass": (drop("StorageClass", "nfs-dev"), "storage-class", "StorageClass nfs-dev"),
    "no credential": (drop("Secret", "mlflow-credentials"), "mlflow-credentials", "Secret team-a-training/mlflow-credentials"),
    "half a credential": (lambda h: h.of("Secret", "mlflow-credentials")["data"].pop("password"), "mlflow-credentials", "Secret team-a-training/mlflow-credentials"),
    "a node without GPUs": (change("Node", "gpu-1", "status", "allocatable", {}), "gpu-nodes", "nodes with nvidia.com/gpu=true"),
    "a closed node": (change("Node", "gpu-1", "spec", {"unschedulable": True}), "gpu-nodes", "nodes with nvidia.com/gpu=true"),
    "no labelled node": (lambda h: [h.of("Node", name)["metadata"].pop("labels") for name in ("gpu-1", "gpu-2")], "gpu-nodes", "nodes with nvidia.com/gpu=true"),
    "no MLflow": (drop("EndpointSlice", "mlflow-1"), "mlflow", "MLflow http://mlflow.mlplatform.svc:5000"),
}  # fmt: skip


@pytest.mark.parametrize("name", ILLS)
def test_each_missing_setting_is_named_with_its_remedy(name: str, health: Health) -> None:
    """One thing is wrong in the cluster, one thing is reported, and it says what to do."""
    harm, check, subject = ILLS[name]
    harm(health)
    wrong = health.wrong()
    assert [(result.check, result.subject.startswith(subject)) for result in wrong] == [(check, True)], wrong
    assert wrong[0].found
    assert wrong[0].remedy


def test_no_argo_cd_at_all(health: Health) -> None:
    """Kinds that the cluster does not serve lead to the installation, not to `kubectl apply`."""
    health.api.objects = [item for item in health.api.objects if not item["apiVersion"].startswith("argoproj.io")]
    projects = [result for result in health.wrong() if result.subject.startswith("AppProject")]
    assert projects
    assert all("docs/install.md" in result.remedy for result in projects)


def test_what_may_not_be_read_is_not_wrong(health: Health, capsys: pytest.CaptureFixture[str]) -> None:
    """Secrets are not everybody's to see; the rest is examined all the same."""
    health.api.refused.add("/api/v1/namespaces/team-a-training/secrets/mlflow-credentials")
    assert main(["doctor", "cluster", "--env", "dev", *health.options]) == 0
    assert "unseen  credentials" in capsys.readouterr().out


def test_no_secret_value_is_shown(health: Health, capsys: pytest.CaptureFixture[str]) -> None:
    """The values of a credential reach no output."""
    health.of("Secret", "mlflow-credentials")["data"]["password"] = "czNjcjN0"
    for form in ("text", "json"):
        main(["doctor", "cluster", "--env", "dev", *health.options, "--format", form])
        assert "czNjcjN0" not in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["cluster"], ["cluster", "--env", "moon"], ["everything"]])
def test_wrong_usage_is_two(arguments: list[str], health: Health, capsys: pytest.CaptureFixture[str]) -> None:
    """The environment is never guessed, and has to exist."""
    assert main(["doctor", *arguments, *health.options]) == 2
    assert capsys.readouterr().err


def test_a_server_that_is_gone_is_three(health: Health, capsys: pytest.CaptureFixture[str]) -> None:
    """A cluster that does not answer has not been examined."""
    health.api.status = 503
    assert main(["doctor", "cluster", "--env", "dev", *health.options]) == 3
    assert "503" in capsys.readouterr().err


def test_every_check_explains_itself() -> None:
    """Each function of the table says in its docstring what is right."""
    assert all(check.__doc__ for check in CHECKS)


SPEC = {"kind": "Thing", "metadata": {"name": "x"}}


@pytest.mark.parametrize(
    ("wanted", "live"),
    [
        ({"cpu": "1"}, {"cpu": "1000m"}),
        ({"storage": "200Gi"}, {"storage": "200Gi", "more": 1}),
        ({"memory": "1024Mi"}, {"memory": "1Gi"}),
        ({"pods": 2}, {"pods": "2"}),
        ({"egress": []}, {}),
        ({"selector": {}}, {}),
        ({"rules": [{"a": 1}]}, {"rules": [{"a": 1, "default": 2}]}),
    ],
)
def test_what_the_api_server_adds_or_rewrites_is_no_difference(wanted: Object, live: Object) -> None:
    """Defaults, quantities in another spelling and dropped empty fields."""
    assert differences({**SPEC, "spec": wanted}, {**SPEC, "spec": live}) == []


@pytest.mark.parametrize("wanted", [{"selfHeal": False}, {"path": ""}, {"syncPolicy": {"automated": {"prune": False}}}])
def test_argo_cd_writes_its_kinds_back_without_zeros(wanted: Object) -> None:
    """What is false or empty there is gone; a true in its place is a difference, and other kinds mean their false."""
    manifest = {"apiVersion": "argoproj.io/v1alpha1", **SPEC, "spec": wanted}
    live = {"spec": {"syncPolicy": {"automated": {}}}}
    assert differences(manifest, live) == []
    assert differences({**manifest, "apiVersion": "batch/v1"}, live) != []
    assert differences(
        manifest, {"spec": {"selfHeal": True, "path": "x", "syncPolicy": {"automated": {"prune": True}}}}
    )


@pytest.mark.parametrize(
    ("wanted", "live", "difference"),
    [
        ({"a": 1}, {"a": 2}, Difference("spec.a", "2", "1")),
        ({"a": True}, {"a": 1}, Difference("spec.a", "1", "True")),
        ({"a": False}, {}, Difference("spec.a", "nothing", "False")),
        ({"a": "x"}, {}, Difference("spec.a", "nothing", "x")),
        ({"a": []}, {"a": ["*"]}, Difference("spec.a", "['*']", "[]")),
        ({"a": [1]}, {"a": [1, 2]}, Difference("spec.a", "[1, 2]", "[1]")),
        ({"a": [{"b": 1}]}, {"a": [{"b": 2}]}, Difference("spec.a[0].b", "2", "1")),
        ({"a": "one\ntwo"}, {"a": "one\nthree"}, Difference("spec.a", "one three", "one two")),
        (
            {"a": f"{'x' * 90}one"},
            {"a": f"{'x' * 90}two"},
            Difference("spec.a", f"...{'x' * 20}two", f"...{'x' * 20}one"),
        ),
        ({"a": {"b": 1}}, {"a": "text"}, Difference("spec.a", "text", "{'b': 1}")),
    ],
)
def test_differences_name_the_place_and_both_sides(wanted: Object, live: Object, difference: Difference) -> None:
    """The path is the manifest's; long texts show their first other line."""
    assert differences({**SPEC, "spec": wanted}, {**SPEC, "spec": live}) == [difference]
