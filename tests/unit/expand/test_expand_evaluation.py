"""Runs with an evaluation: what the lock holds of it, and what the publish Job has besides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.cli import main
from tools.formats.lock import Lock, is_sealed
from tools.repository import Repository

EXPERIMENT = "experiments/team-a/plain.yaml"
OVERLAY = "overlays/dev/team-a/plain"
BEHAVIOUR = Path(__file__).parents[2] / "fixtures" / "repository" / "tenants" / "team-a" / "behaviours" / "polite.yaml"
EVALUATION = "evaluation: {datasets: [held-out], behaviours: [polite], time_limit: 2h}\n"


def expanded(platform: Path, **changes: str) -> tuple[Lock, list[dict[str, Any]]]:
    """The lock and the publish Job's patch of the experiment with an evaluation."""
    tenant = platform / "tenants" / "team-a"
    manifest = (tenant / "datasets" / "topics.yaml").read_text()
    sha256 = yaml.safe_load(manifest)["sha256"]
    (tenant / "datasets" / "held-out.yaml").write_text(manifest.replace(sha256, "fb" * 32))
    (tenant / "behaviours").mkdir()
    (tenant / "behaviours" / "polite.yaml").write_text(BEHAVIOUR.read_text())
    file = platform / EXPERIMENT
    file.write_text(file.read_text() + EVALUATION + "".join(changes.values()))
    assert main(["expand", str(file), "--repo", str(platform)]) == 0
    lock = Repository(platform).lock(f"{OVERLAY}/run.yaml")
    return lock, yaml.safe_load((platform / OVERLAY / "publish.yaml").read_text())


def at(operations: list[dict[str, Any]], path: str) -> Any:
    """What a patch puts at a path."""
    (found,) = [operation["value"] for operation in operations if operation["path"] == path]
    return found


def test_the_lock_holds_data_and_behaviours(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Hashes of the held-out data and the behaviours' content: the run is held to what its approvers saw."""
    lock, _ = expanded(bare)
    found = lock.run.evaluation
    assert found is not None
    assert is_sealed(lock)
    assert [(dataset.name, dataset.sha256) for dataset in found.datasets] == [("held-out", "fb" * 32)]
    assert [case.name for case in found.behaviours["polite"].cases] == ["greets", "declines-investment-advice"]
    assert found.time_limit_seconds == 7200
    assert main(["expand", "--check", "--repo", str(bare)]) == 0, capsys.readouterr().out


def test_a_run_without_one_keeps_its_lock(platform: Path) -> None:
    """The field is absent, not null: locks from before it existed keep their bytes and hashes."""
    assert "evaluation" not in (platform / OVERLAY / "run.yaml").read_text()


def test_the_publish_job_gets_data_one_gpu_and_time(bare: Path) -> None:
    """Held-out data read-only, a folder for the verdict, a GPU as training has them, and a deadline that holds its own limit."""
    _, operations = expanded(bare)
    runner = "/spec/template/spec/containers/0"
    mounts = [each["value"] for each in operations if each["path"] == f"{runner}/volumeMounts/-"]
    assert mounts == [
        {"name": "storage", "mountPath": "/storage/data", "subPath": "data", "readOnly": True},
        {"name": "storage", "mountPath": "/storage/evaluation", "subPath": "evaluation"},
    ]
    assert at(operations, f"{runner}/resources/limits/nvidia.com~1gpu") == "1"
    assert at(operations, "/spec/template/spec/tolerations")[0]["key"] == "nvidia.com/gpu"
    assert at(operations, "/spec/activeDeadlineSeconds") >= 7200 + 1200


def test_with_kueue_it_waits_in_the_queue(bare: Path) -> None:
    """A Job with a GPU that no queue counts would be refused by admission."""
    environment = bare / "environments" / "dev.yaml"
    environment.write_text(environment.read_text() + "kueue: true\n")
    _, operations = expanded(bare)
    labels = "/metadata/labels/kueue.x-k8s.io~1"
    assert at(operations, f"{labels}queue-name") == "finetuning"
    deadline = at(operations, "/spec/activeDeadlineSeconds")
    assert int(at(operations, f"{labels}max-exec-time-seconds")) > deadline


def test_its_hours_count_against_the_quota(bare: Path) -> None:
    """Read fast from the lock's text, the hours are those of the plan: 8 h of training and 2 h of evaluation on one GPU."""
    expanded(bare)
    (entry,) = [entry for entry in Repository(bare).locks.spent("dev", "team-a") if entry.run_id.startswith("plain-")]
    assert entry.hours == 10.0
