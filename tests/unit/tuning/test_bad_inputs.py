"""Wrong GPUs and awkward numbers: found before, or at the start of a run, with both figures."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from runner import prechecks
from runner.exits import Retry
from tests.runs import make_lock, make_storage
from tools.errors import UsageError
from tools.plan.planner import Planner
from tools.repository import Repository
from tools.resolve import resolve

FIXTURES = Path(__file__).parents[2] / "fixtures" / "plan-repository"
FILE = "experiments/team-a/exp-001.yaml"
GPU = {"gpus": 1, "gpu_memory_gib": 79.1}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of the fixtures' repository."""
    return Path(shutil.copytree(FIXTURES, tmp_path / "repository"))


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A node whose `nvidia-smi` prints the file that is returned."""
    folder = tmp_path / "bin"
    folder.mkdir()
    table = tmp_path / "gpus.csv"
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\nexec cat {table}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return table


@pytest.mark.parametrize(("total", "fits"), [(81559, True), (79000, True), (46068, False), (40960, False)])
def test_a_smaller_gpu_than_the_environments_is_told_at_once(
    tmp_path: Path, driver: Path, total: int, *, fits: bool
) -> None:
    """Both figures and where to mend it; a few per cent are the driver's own; worth a retry, for another node may be right."""
    driver.write_text(f"{total}, {total - 500}\n")
    lock = make_lock(make_storage(tmp_path / "storage"), resources=GPU, settings={"use_cpu": False})
    if fits:
        prechecks.gpus(lock)
        return
    with pytest.raises(Retry, match=rf"has {total / 1024:.1f} GiB of memory; allowed: 79\.1 GiB") as caught:
        prechecks.gpus(lock)
    assert "environments/dev.yaml" in caught.value.remedy
    assert (caught.value.exit_code, caught.value.code) == (75, "no-gpu")
    assert caught.value.details["measured_bytes"] == total * 2**20


def test_the_smallest_gpu_decides(tmp_path: Path, driver: Path) -> None:
    """A node with mixed GPUs."""
    driver.write_text("81559, 81000\n46068, 46000\n")
    storage = make_storage(tmp_path / "storage")
    lock = make_lock(storage, resources={**GPU, "gpus": 2}, settings={"use_cpu": False})
    with pytest.raises(Retry, match=r"has 45\.0 GiB"):
        prechecks.gpus(lock)


def test_a_lock_without_the_figure_is_not_compared(tmp_path: Path, driver: Path) -> None:
    """Runs from before it existed go on; their locks keep their bytes."""
    driver.write_text("46068, 46000\n")
    lock = make_lock(make_storage(tmp_path / "storage"), resources={"gpus": 1}, settings={"use_cpu": False})
    prechecks.gpus(lock)
    assert "gpu_memory_gib" not in lock.run.resources.model_dump(mode="json")


def test_the_lock_holds_the_memory_that_was_planned_with(repository: Path) -> None:
    """Of the environment's GPU type; a run without GPUs has none."""
    found = Repository(repository)
    lock = resolve(found, "team-a", "exp-001", found.experiment(FILE))
    environment = found.environment(lock.run.environment)
    assert environment is not None
    assert found.gpus is not None
    assert lock.run.resources.gpu_memory_gib == found.gpus.gpus[environment.gpu.type].memory_gib
    cpu = resolve(found, "team-a", "on-cpu", found.experiment("experiments/team-a/on-cpu.yaml"))
    assert cpu.run.resources.gpu_memory_gib is None


@pytest.mark.parametrize("performance", ["auto", "as-written"])
def test_a_gpu_type_that_nobody_listed_is_refused(repository: Path, performance: str) -> None:
    """Nothing is planned or chosen by guessing; the message says where to add it."""
    file = repository / "environments" / "dev.yaml"
    data = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump({**data, "gpu": {**data["gpu"], "type": "b300"}}))
    experiment = repository / FILE
    experiment.write_text(experiment.read_text() + f"performance: {performance}\n")
    with pytest.raises(UsageError, match=r"catalog/gpus\.yaml"):
        Planner(Repository(repository)).plan(FILE)


def test_rows_that_do_not_divide_among_gpus_are_said(repository: Path) -> None:
    """The batch is one of each GPU, so it always divides; the last batches of an epoch repeat rows, and the plan says how many."""
    file = repository / FILE
    data: dict[str, Any] = yaml.safe_load(file.read_text())
    data["train"] |= {"per_device_train_batch_size": 7, "gradient_accumulation_steps": 1}
    file.write_text(yaml.safe_dump({**data, "resources": {"gpus": 3, "nodes": 1, "time_limit": "8h"}}))
    plan = Planner(Repository(repository)).plan(FILE)
    missing = -plan.steps.examples % 21
    assert missing
    assert plan.steps.examples_per_step == 21
    assert any(f"no multiple of 21: an epoch's last batches repeat {missing:,}" in note for note in plan.notes)


def test_rows_that_are_cut_are_counted_in_the_plan(repository: Path) -> None:
    """With a cutoff below the longest row the plan says how many rows lose their end."""
    file = repository / FILE
    file.write_text(file.read_text().replace("cutoff_len: 512", "cutoff_len: 16"))
    (cut,) = Planner(Repository(repository)).plan(FILE).cuts
    assert cut.over is not None
    assert 0 < cut.over <= cut.rows
