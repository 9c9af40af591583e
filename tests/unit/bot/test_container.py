"""The bot's image and manifests: what they promise about users, secrets and the network."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.platform_copy import ROOT
from tools.bot import settings
from tools.render.documents import read
from tools.render.kustomize import Kustomize
from tools.render.schemas import Schemas

FILE = (ROOT / "bot.Dockerfile").read_text()


@pytest.fixture(scope="module")
def manifests() -> list[dict[str, Any]]:
    """What `kubectl apply -k base/bot` would apply."""
    (built,) = Kustomize.find().build(ROOT, ["base/bot"])
    assert built.fault is None
    return read(built.manifests)


@pytest.fixture(scope="module")
def pod(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    """The bot's pod."""
    (deployment,) = (each for each in manifests if each["kind"] == "Deployment")
    spec: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return spec


def test_every_supported_kubernetes_accepts_them(manifests: list[dict[str, Any]]) -> None:
    """No unknown and no wrong field in any object."""
    schemas = Schemas()
    assert {each["kind"]: schemas.faults(each) for each in manifests if schemas.faults(each)} == {}


def test_no_manifest_holds_a_secret(manifests: list[dict[str, Any]]) -> None:
    """Secrets are named, never made, here."""
    assert not [each for each in manifests if each["kind"] == "Secret"]


def test_the_pod_may_do_nothing_but_its_work(pod: dict[str, Any]) -> None:
    """Non-root, read-only root, no capability, no escalation, in every container."""
    assert pod["securityContext"]["runAsNonRoot"]
    for container in (*pod["initContainers"], *pod["containers"]):
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"]
        assert not context["allowPrivilegeEscalation"]
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert "@sha256:" in container["image"]


def test_the_cluster_role_only_reads(manifests: list[dict[str, Any]]) -> None:
    """No verb that changes anything, and no Secret."""
    (role,) = (each for each in manifests if each["kind"] == "ClusterRole")
    assert {verb for rule in role["rules"] for verb in rule["verbs"]} <= {"get", "list", "watch"}
    assert "secrets" not in {resource for rule in role["rules"] for resource in rule["resources"]}


def test_the_settings_are_valid_and_their_files_are_mounted(pod: dict[str, Any]) -> None:
    """Each path of the settings lies on a volume of the pod."""
    shipped = settings.read(ROOT / "base/bot/settings.yaml")
    mounts = {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    named = [shipped.work, shipped.gitlab.token_file, shipped.gitlab.webhook_secret_file, shipped.signing.gnupghome]
    assert all(any(str(path).startswith(mount) for mount in mounts) for path in named)


def test_nothing_reaches_it_but_what_is_named(manifests: list[dict[str, Any]]) -> None:
    """One policy for the whole namespace, both ways."""
    (policy,) = (each for each in manifests if each["kind"] == "NetworkPolicy")
    assert policy["spec"]["podSelector"] == {}
    assert set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"}


def test_the_image_runs_as_the_pods_user(pod: dict[str, Any]) -> None:
    """The image's own user is the one of the manifests."""
    assert f"USER {pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" in FILE


def test_the_image_is_light_and_pinned() -> None:
    """Every package comes with its hash; the runner and its packages do not come at all."""
    assert FILE.count("--require-hashes") == 2
    assert "runner" not in re.findall(r"^COPY (?!--from)(\S+)", FILE, re.MULTILINE)
    pins = (ROOT / "requirements/bot.txt").read_text()
    assert not re.search(r"^(torch|transformers|mlflow|llamafactory)==", pins, re.MULTILINE)


def test_the_build_sees_only_what_it_copies() -> None:
    """The ignore file lets in what bot.Dockerfile copies, and nothing else."""
    lines = (ROOT / "bot.Dockerfile.dockerignore").read_text().splitlines()
    copied = re.findall(r"^COPY (?!--from)(\S+)", FILE, re.MULTILINE)
    assert {line[1:] for line in lines if line.startswith("!")} == set(copied)
    assert "*" in lines


def test_the_example_config_map_is_what_the_pod_reads(manifests: list[dict[str, Any]]) -> None:
    """The ConfigMap's key is the file that FT_BOT_CONFIG names."""
    (config,) = (each for each in manifests if each["kind"] == "ConfigMap")
    assert yaml.safe_load(config["data"]["settings.yaml"])["version"] == 1
    assert "FT_BOT_CONFIG=/etc/ft-bot/settings.yaml" in FILE
