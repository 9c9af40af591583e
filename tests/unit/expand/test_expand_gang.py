"""Runs on several nodes: a JobSet in place of the training Job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.platform_copy import ROOT
from tools.cli import main

V1 = ROOT / "base" / "training" / "v1"
EXPERIMENT = "experiments/team-a/adapter-only.yaml"
OVERLAY = "overlays/dev/team-a/adapter-only"
MAX_LINES = 15


def inner(jobset: dict[str, Any]) -> dict[str, Any]:
    """The Job in a JobSet."""
    job: dict[str, Any] = jobset["spec"]["replicatedJobs"][0]["template"]
    return job


@pytest.fixture
def gang(bare: Path) -> Path:
    """The platform with a run on two nodes of two GPUs."""
    file = bare / EXPERIMENT
    file.write_text(file.read_text().replace("gpus: 4", "gpus: 2\n  nodes: 2"))
    assert main(["expand", str(file), "--repo", str(bare)]) == 0
    return bare


def test_its_pods_are_those_of_the_job() -> None:
    """Both bases have one pod: only where the ranks meet is added."""
    job, jobset = (yaml.safe_load((V1 / name).read_text()) for name in ("job.yaml", "nodes/jobset.yaml"))
    pod = inner(jobset)["spec"]["template"]
    [address] = [entry for entry in pod["spec"]["containers"][0]["env"] if entry["name"] == "GANG_ADDRESS"]
    pod["spec"]["containers"][0]["env"].remove(address)
    assert pod == job["spec"]["template"]


def test_the_same_exit_codes_end_it(gang: Path) -> None:
    """What comes again fails the Job and with it the JobSet; all else is one restart of the whole gang."""
    job, jobset = (yaml.safe_load((V1 / name).read_text()) for name in ("job.yaml", "nodes/jobset.yaml"))
    [alone] = [rule for rule in job["spec"]["podFailurePolicy"]["rules"] if rule["action"] == "FailJob"]
    inside = inner(jobset)["spec"]
    assert inside["podFailurePolicy"]["rules"][1] == alone
    assert inside["backoffLimit"] == 0
    assert jobset["spec"]["failurePolicy"]["maxRestarts"] == job["spec"]["backoffLimit"]
    assert gang.is_dir()


def test_its_overlay_is_short_and_names_the_part(gang: Path) -> None:
    """The component comes with the base's own version."""
    lines = (gang / OVERLAY / "kustomization.yaml").read_text().splitlines()
    assert len(lines) <= MAX_LINES
    assert "components: [../../../../base/training/v1/nodes]" in lines
    assert "  - {path: train.yaml, target: {kind: JobSet, name: a1}}" in lines


def test_it_renders_to_one_jobset_that_passes_every_check(gang: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No training Job; names, labels, image, GPUs and network are the run's."""
    assert main(["render", str(gang / OVERLAY), "--repo", str(gang), "--check"]) == 0
    capsys.readouterr()
    assert main(["render", str(gang / OVERLAY), "--repo", str(gang)]) == 0
    objects = {item["kind"]: item for item in yaml.safe_load_all(capsys.readouterr().out) if item}
    assert "Job" not in objects  # adapter-only publishes nothing
    jobset, network = objects["JobSet"], objects["NetworkPolicy"]
    run_id = jobset["metadata"]["labels"]["finetuning/run-id"]
    assert jobset["metadata"]["name"] == f"{run_id}-a1"
    job = inner(jobset)
    pod = job["spec"]["template"]
    assert job["metadata"]["labels"]["finetuning/run-id"] == pod["metadata"]["labels"]["finetuning/run-id"] == run_id
    assert "@sha256:" in pod["spec"]["containers"][0]["image"]
    assert pod["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert (job["spec"]["completions"], job["spec"]["parallelism"]) == (2, 2)
    assert next(volume for volume in pod["spec"]["volumes"] if volume["name"] == "run")["configMap"]["name"] == (
        f"{run_id}-run"
    )
    peers = [*network["spec"]["ingress"][0]["from"], *network["spec"]["egress"][0]["to"]]
    for selector in (network["spec"]["podSelector"], *(peer["podSelector"] for peer in peers)):
        assert selector["matchLabels"]["finetuning/run-id"] == run_id


def test_more_nodes_are_more_pods(bare: Path) -> None:
    """The base has two; other numbers stand in the patch."""
    file = bare / EXPERIMENT
    file.write_text(file.read_text().replace("gpus: 4", "gpus: 1\n  nodes: 3"))
    environment = bare / "environments" / "dev.yaml"
    environment.write_text(environment.read_text().replace("nodes: 2", "nodes: 4"))
    assert main(["expand", str(file), "--repo", str(bare)]) == 0
    found = {item["path"]: item["value"] for item in yaml.safe_load((bare / OVERLAY / "train.yaml").read_text())}
    place = "/spec/replicatedJobs/0/template/spec"
    assert (found[f"{place}/completions"], found[f"{place}/parallelism"]) == (3, 3)
