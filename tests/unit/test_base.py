from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.platform_copy import ROOT
from tools.cluster.doctor.tenants import KEYS
from tools.expand import base, patches, sizing

BASES = ROOT / "base" / "training"
RELEASED = [
    f"{bases}/{folder.name}"
    for bases in (base.TRAINING, base.SERVING)
    for folder in sorted((ROOT / bases).iterdir())
    if folder.is_dir()
]


@pytest.mark.parametrize("released", RELEASED)
def test_a_released_base_is_as_it_was(released: str) -> None:
    """Overlays are locked to it: make the next version (cp -r) instead of editing this one."""
    assert base.check(ROOT, released) == []


def test_what_patches_leave_out_is_what_the_base_says() -> None:
    """The tools' idea of the base, by which they leave equal values out, is the base's own."""
    job = yaml.safe_load((BASES / "v1/job.yaml").read_text())
    publish = yaml.safe_load((BASES / "v1/publish.yaml").read_text())
    pod = job["spec"]["template"]["spec"]
    assert (job["metadata"]["name"], publish["metadata"]["name"]) == (patches.TRAINING, patches.PUBLISH)
    assert pod["nodeSelector"] == patches.BASE_NODE_SELECTOR
    assert {pod["securityContext"][key] for key in ("runAsUser", "runAsGroup", "fsGroup")} == {patches.BASE_ID}
    assert pod["priorityClassName"] == patches.PRIORITY_CLASS.format(patches.BASE_PRIORITY)
    assert pod["containers"][0]["resources"] == sizing.training(gpus=1)
    for volumes in (pod["volumes"], publish["spec"]["template"]["spec"]["volumes"]):
        for name, place in patches.CLAIMS.items():
            assert volumes[place]["name"] == volumes[place]["persistentVolumeClaim"]["claimName"] == name
    assert publish["spec"]["activeDeadlineSeconds"] == sizing.PUBLISH_DEADLINE_SECONDS
    merging = publish["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert merging["memory"] == f"{sizing.PUBLISH_MEMORY_GIB}Gi"


@pytest.mark.parametrize("file", sorted((BASES / "v1").glob("*.yaml")), ids=lambda path: path.name)
def test_every_base_file_begins_with_what_it_is_and_how_to_check_it(file: Path) -> None:
    """A person who opens it first reads what it is for."""
    head = [line for line in file.read_text().splitlines()[:5] if line.startswith("#")]
    assert head
    assert any("ft render" in line for line in head)


@pytest.mark.parametrize("gang", [False, True], ids=["one node", "several nodes"])
def test_training_cannot_write_what_is_published_or_judges_it(gang: bool) -> None:
    """Of the tenant's claim, no training pod writes anything but `output`: neither merged models nor evaluations."""
    document = yaml.safe_load((BASES / ("v1/nodes/jobset.yaml" if gang else "v1/job.yaml")).read_text())
    job = document["spec"]["replicatedJobs"][0]["template"] if gang else document
    pod = job["spec"]["template"]["spec"]
    containers = [*pod["containers"], *pod.get("initContainers", [])]
    mounts = [mount for container in containers for mount in container["volumeMounts"] if mount["name"] == "storage"]
    assert [mount["subPath"] for mount in mounts if not mount.get("readOnly")] == ["output"]
    assert {mount["subPath"] for mount in mounts} == {"data", "output"}


@pytest.mark.parametrize("file", ["job.yaml", "publish.yaml"])
def test_jobs_read_the_keys_of_the_credential_that_the_doctor_looks_for(file: str) -> None:
    """A Secret that `ft doctor` calls right is one that the Jobs can use."""
    pod = yaml.safe_load((BASES / "v1" / file).read_text())["spec"]["template"]["spec"]
    sources = [entry.get("valueFrom", {}).get("secretKeyRef") for entry in pod["containers"][0]["env"]]
    assert tuple(source["key"] for source in sources if source) == KEYS
