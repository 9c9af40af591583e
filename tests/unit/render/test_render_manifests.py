"""What the overlays build to, as a cluster would get it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.platform_copy import OVERLAYS
from tools.render.documents import pod, read
from tools.render.kustomize import KUBECTL_CHUNK, Kustomize
from tools.render.schemas import Schemas
from tools.repository import Repository

PLAIN, CPU, LARGE = "overlays/dev/team-a/plain", "overlays/dev/team-b/cpu", "overlays/prod/team-a/large"


def objects(platform: Path, overlay: str) -> dict[str, Any]:
    """The overlay's objects by the end of their names: run, a1, publish."""
    [built] = Kustomize.find().build(platform, [overlay])
    assert built.fault is None
    return {manifest["metadata"]["name"].rpartition("-")[2]: manifest for manifest in read(built.manifests)}


@pytest.mark.parametrize("overlay", OVERLAYS.values())
def test_every_object_carries_the_run_id(platform: Path, overlay: str) -> None:
    """Names and labels come from the lock; references follow the ConfigMap's name."""
    lock = Repository(platform).lock(f"{overlay}/run.yaml")
    found = objects(platform, overlay)
    for end, manifest in found.items():
        assert manifest["metadata"]["name"] == f"{lock.run_id}-{end}"
        assert manifest["metadata"]["namespace"] == lock.run.namespace
        assert manifest["metadata"]["labels"]["finetuning/run-id"] == lock.run_id
    job = found[f"a{lock.attempt}"]
    references = [entry["valueFrom"]["configMapKeyRef"]["name"] for entry in pod(job)["containers"][0]["env"][:2]]
    assert references == [f"{lock.run_id}-run"] * 2
    assert pod(job)["containers"][0]["image"] == lock.run.image
    assert job["spec"]["template"]["metadata"]["labels"]["finetuning/run-id"] == lock.run_id


def test_the_configmap_holds_the_lock_byte_for_byte(platform: Path) -> None:
    """The runner checks the hash of what it is given."""
    data = objects(platform, PLAIN)["run"]["data"]
    assert data["run.yaml"] == (platform / PLAIN / "run.yaml").read_text()
    assert data["MLFLOW_TRACKING_URI"] == "http://mlflow.dev.example:5000"
    assert data["MLFLOW_EXPERIMENT_NAME"] == "team-a"


def test_a_gpu_job_has_selector_toleration_and_limits(platform: Path) -> None:
    """One GPU, on a node that has them."""
    spec = pod(objects(platform, PLAIN)["a1"])
    assert spec["nodeSelector"] == {"nvidia.com/gpu": "true"}
    assert spec["tolerations"][0]["key"] == "nvidia.com/gpu"
    assert spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_a_cpu_job_has_none_of_them(platform: Path) -> None:
    """`gpus: 0` runs on any node, under the tenant's own ids."""
    spec = pod(objects(platform, CPU)["a2"])
    assert "nodeSelector" not in spec
    assert "tolerations" not in spec
    assert "nvidia.com/gpu" not in str(spec["containers"])
    ids = {key: spec["securityContext"][key] for key in ("runAsUser", "runAsGroup", "fsGroup", "runAsNonRoot")}
    assert ids == {"runAsUser": 20002, "runAsGroup": 20003, "fsGroup": 20003, "runAsNonRoot": True}


def test_an_environments_nodes_and_claims_replace_the_bases(platform: Path) -> None:
    """The selector is replaced, not merged, and read-only stays read-only."""
    spec = pod(objects(platform, LARGE)["a1"])
    claims = {v["name"]: v["persistentVolumeClaim"] for v in spec["volumes"] if "persistentVolumeClaim" in v}
    assert spec["nodeSelector"] == {"gpu.example/type": "l40s"}
    assert claims == {
        "base-models": {"claimName": "shared-models", "readOnly": True},
        "storage": {"claimName": "team-storage"},
    }


def test_storage_is_mounted_as_the_contract_says(platform: Path) -> None:
    """Models and data read-only; merged models for the publish Job alone."""
    found = objects(platform, PLAIN)
    mounts = {
        name: {
            mount["mountPath"]: mount.get("readOnly", False)
            for mount in pod(found[name])["containers"][0]["volumeMounts"]
            if mount["mountPath"].startswith("/storage")
        }
        for name in ("a1", "publish")
    }
    both = {"/storage/models/base-model": True, "/storage/output": False}
    assert mounts["a1"] == both | {"/storage/data": True}
    assert mounts["publish"] == both | {"/storage/models/merged-model": False}


def test_the_publish_job_is_a_hook_and_the_training_job_is_not(platform: Path) -> None:
    """Argo CD runs the one after the other and never deletes the training Job."""
    found = objects(platform, PLAIN)
    assert "annotations" not in found["a1"]["metadata"]
    assert found["publish"]["metadata"]["annotations"] == {
        "argocd.argoproj.io/hook": "PostSync",
        "argocd.argoproj.io/hook-delete-policy": "BeforeHookCreation",
    }


def test_many_overlays_build_to_the_same_as_each_alone(platform: Path) -> None:
    """Building together is a matter of speed only; more than one chunk is built here."""
    source = platform / PLAIN
    copies = []
    for number in range(KUBECTL_CHUNK + 2):
        folder = platform / f"overlays/dev/team-a/copy-{number}"
        folder.mkdir()
        for file in source.iterdir():
            (folder / file.name).write_text(file.read_text().replace("plain-", f"copy{number}-"))
        copies.append(f"overlays/dev/team-a/copy-{number}")
    together = list(Kustomize.find().build(platform, [*copies, CPU, LARGE]))
    alone = [built for overlay in [*copies[:2], CPU, LARGE] for built in Kustomize.find().build(platform, [overlay])]
    assert len(together) >= 3
    every = [document for built in together for document in read(built.manifests)]
    for built in alone:
        for document in read(built.manifests):
            assert document in every


def test_all_minors_of_the_package_from_1_31_are_checked() -> None:
    """The package carries them without a gap."""
    minors = Schemas().minors
    assert minors[0] == 31
    assert minors == tuple(range(31, 31 + len(minors)))
    assert len(minors) >= 5


def test_an_unknown_kind_is_a_fault_in_every_minor() -> None:
    """What the API does not know cannot be checked, so it is not let through."""
    [fault] = Schemas().faults({"apiVersion": "example.com/v1", "kind": "Surprise", "metadata": {"name": "x"}})
    assert fault.minors == Schemas().minors
    assert "Surprise" in fault.message
