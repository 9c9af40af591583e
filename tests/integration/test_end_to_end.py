"""One experiment file on one machine: expanded, trained, killed, resumed, merged and registered, with the real parts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.formats.lock import Lock
from tools.repository import Repository

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
FT = [sys.executable, "-c", "from tools.cli import entry_point; entry_point()"]
STEPS, CHECKPOINT = 10, 4
EXPERIMENT = f"""\
# A short run of the demo's task, for the test that kills it. Check it with `ft validate`.
version: 1
description: Ten steps of the demo's task
owner: anna.nowak
model: smollm2-135m-instruct
datasets: [customer-topics]
method: lora
train:
  lora_rank: 4
  learning_rate: 1e-3
  max_steps: {STEPS}
  per_device_train_batch_size: 2
  cutoff_len: 128
  logging_steps: 1
  save_steps: {CHECKPOINT}
  disable_gradient_checkpointing: true
resources: {{gpus: 0, time_limit: 1h}}
publish: {{model_name: end-to-end}}
"""


class Site:
    """A platform repository, its storage and its MLflow, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.repo, self.storage = folder / "repo", folder / "storage"
        for name in ("base", "catalog", "environments", "tenants"):
            shutil.copytree(ROOT / name, self.repo / name)
        experiment = self.repo / "experiments" / "team-a" / "exp-900.yaml"
        experiment.parent.mkdir(parents=True)
        experiment.write_text(EXPERIMENT)
        subprocess.run([sys.executable, "-m", "demo.base_model", "--storage", self.storage], cwd=ROOT, check=True)
        data = self.storage / "data" / "training-datasets"
        data.mkdir(parents=True)
        shutil.copy(ROOT / "demo" / "data" / "customer-topics.json", data)
        assert self.ft("expand", "experiments/team-a/exp-900.yaml").returncode == 0
        self.commit = self._commit()
        self.tracking_uri = f"sqlite:///{self.storage}/mlflow.db"

    def _commit(self) -> str:
        """Commit everything, as a real checkout has it; the commit's hash."""
        git = ["git", "-c", "user.name=Anna Nowak", "-c", "user.email=anna.nowak@bank.example"]
        for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "team-a: exp-900"]):
            subprocess.run([*git, *arguments], cwd=self.repo, check=True)
        return subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=self.repo, capture_output=True, text=True, check=True
        ).stdout.strip()

    def command(self, *arguments: str) -> list[str]:
        return [*FT, *arguments]

    def ft(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(self.command(*arguments), cwd=self.repo, capture_output=True, text=True, check=False)
        print(done.stdout[-6000:], done.stderr[-6000:])
        return done

    def run(self) -> list[str]:
        options = [
            "--storage",
            str(self.storage),
            "--tracking-uri",
            self.tracking_uri,
            "--runner-python",
            sys.executable,
        ]
        return ["run", "overlays/dev/team-a/exp-900", *options]

    @property
    def lock(self) -> Lock:
        return Repository(self.repo).lock("overlays/dev/team-a/exp-900/run.yaml")

    @property
    def model(self) -> Path:
        return self.storage / "models" / "merged-model" / str(self.lock.model_folder)

    @property
    def checkpoints(self) -> Path:
        return self.storage / "output" / "checkpoints" / self.lock.run_id

    def mlflow(self) -> Any:
        from mlflow import MlflowClient

        return MlflowClient(self.tracking_uri)

    def mlflow_run(self) -> Any:
        client = self.mlflow()
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        (run,) = client.search_runs(experiments, f"tags.run_id = '{self.lock.run_id}'")
        return run


def kill_after(site: Site, moment: Path) -> None:
    """Start the run, wait until `moment` exists, then kill every process of it at once."""
    process = subprocess.Popen(site.command(*site.run()), cwd=site.repo, start_new_session=True)
    deadline = time.monotonic() + 600
    while not moment.exists():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline, f"{moment} did not appear"
        time.sleep(0.05)
    for child in reversed(descendants(process.pid)):
        os.kill(child, signal.SIGKILL)
    process.kill()
    process.wait()


def descendants(pid: int) -> list[int]:
    """Process ids below `pid`, whatever session they are in."""
    import psutil

    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site whose run was killed after its first checkpoint and then run to the end."""
    made = Site(tmp_path_factory.mktemp("site"))
    kill_after(made, made.checkpoints / f"checkpoint-{CHECKPOINT}" / "manifest.json")
    assert not made.model.exists()
    assert made.ft(*made.run()).returncode == 0
    return made


def test_the_run_resumed_and_finished_all_its_steps(site: Site) -> None:
    """completion.json says that all planned steps are done; the log says where it went on."""
    adapter = site.storage / "output" / "lora-adapter" / site.lock.run_id
    completion = json.loads((adapter / "completion.json").read_text())
    assert (completion["steps_done"], completion["steps_planned"]) == (STEPS, STEPS)
    logs = "".join(path.read_text() for path in (site.storage / "logs" / site.lock.run_id).iterdir())
    assert f"checkpoint-{CHECKPOINT}" in logs


def test_mlflow_has_one_run_with_every_step_once(site: Site) -> None:
    """Kill and resume leave one MLflow run, without gap and without a doubled step."""
    history = site.mlflow().get_metric_history(site.mlflow_run().info.run_id, "loss")
    assert sorted(metric.step for metric in history) == list(range(1, STEPS + 1))


def test_parameters_and_hashes_are_recorded(site: Site) -> None:
    """What was trained, on which data, from which commit stands in MLflow."""
    run, lock = site.mlflow_run(), site.lock
    assert run.data.params["learning_rate"] == "0.001"
    assert run.data.tags["run_sha256"] == lock.sha256
    assert any(lock.run.datasets[0].sha256 in value for value in run.data.tags.values())


def test_the_model_is_published_and_registered_as_candidate(site: Site) -> None:
    """A complete folder lies under merged-model, and the registry's candidate points to it."""
    names = {path.name for path in site.model.iterdir()}
    assert {"config.json", "tokenizer.json"} <= names
    assert any(name.endswith(".safetensors") for name in names)
    version = site.mlflow().get_model_version_by_alias("team-a.end-to-end", "candidate")
    assert version.source.endswith(f"models/merged-model/end-to-end/{site.lock.run_id}")
    tags = {"run_id": site.lock.run_id, "base_model": "smollm2-135m-instruct", "git_commit": site.commit}
    assert tags.items() <= version.tags.items()
    visible = [path.name for path in site.model.parent.iterdir() if path.name != ".publish.lock"]
    assert visible == [site.lock.run_id]


def test_the_merged_model_differs_from_the_base_and_answers(site: Site) -> None:
    """The merge changed weights, and the folder loads and generates without anything else."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = site.storage / "models" / "base-model" / "smollm2-135m-instruct"
    merged, before = (AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32) for path in (site.model, base))
    name = "model.layers.0.self_attn.q_proj.weight"
    assert not torch.equal(merged.get_parameter(name), before.get_parameter(name))
    assert torch.equal(merged.get_parameter("model.norm.weight"), before.get_parameter("model.norm.weight"))
    tokenizer = AutoTokenizer.from_pretrained(site.model)
    inputs = tokenizer("The card was blocked", return_tensors="pt")
    assert merged.generate(**inputs, max_new_tokens=3).shape[1] > inputs["input_ids"].shape[1]


def test_running_again_changes_nothing(site: Site) -> None:
    """A finished run is not trained again, and a second publish leaves folder and registry as they are."""

    def state() -> tuple[Any, ...]:
        version = site.mlflow().get_model_version_by_alias("team-a.end-to-end", "candidate")
        files = {path: path.stat().st_mtime_ns for path in sorted(site.model.rglob("*"))}
        return (
            files,
            version.version,
            version.last_updated_timestamp,
            dict(version.tags),
            site.mlflow_run().info.end_time,
        )

    before = state()
    assert site.ft(*site.run()).returncode == 0
    assert state() == before
