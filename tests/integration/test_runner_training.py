"""Whole runs with LLaMA Factory on a Llama of 100,000 weights: trained, stopped, killed, resumed, merged, registered.

Each training is a process of its own and imports LLaMA Factory, which is nearly all of its time; so there are four.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from runner import completion, placing
from runner.__main__ import main
from runner.budget import Budget
from runner.exits import RunnerError, Stopped, TimeLimit
from runner.signals import Sigterm
from runner.spool import Spool
from runner.storage import Paths
from tests.runs import make_paths, write_lock

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(find_spec("llamafactory") is None, reason="needs the runner's environment"),
]
STEPS = 8
AWAY = "http://127.0.0.1:9"  # the discard port: nobody listens
LOSSES = "select step, value from metrics where key = 'loss' order by step"


@dataclass
class Ended:
    """What a runner process left: exit code, events, all of its output."""

    code: int
    events: list[dict[str, Any]]
    output: str

    def named(self, name: str) -> list[dict[str, Any]]:
        """Events of one kind."""
        return [event for event in self.events if event["event"] == name]


@dataclass
class Place:
    """A storage, a run on it, and the MLflow that it logs to."""

    root: Path
    paths: Paths

    @property
    def store(self) -> Path:
        """The SQLite file."""
        return self.root / "mlflow.db"

    def train(self, *, uri: str | None = None, kill: tuple[str, int, signal.Signals] | None = None) -> Ended:
        """Train in a process; `kill`: (event, step, signal) sends the signal when that event of that step appears."""
        lock = write_lock(self.paths.lock, self.root / "run.yaml")
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "MLFLOW_TRACKING_URI": uri or f"sqlite:///{self.store}",
            "GIT_COMMIT": "f" * 40,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "runner", "train", "--lock", lock, "--storage", self.paths.storage],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment,
        )  # fmt: skip
        assert process.stdout is not None
        events, output = [], ""
        for line in process.stdout:
            output += line
            if line.startswith('{"event"'):
                events.append(json.loads(line))
                if kill and (events[-1]["event"], events[-1].get("step")) == kill[:2]:
                    process.send_signal(kill[2])
        return Ended(process.wait(), events, output)

    def publish(self, uri: str) -> int:
        """Publish in this process: LLaMA Factory and MLflow are then imported once for all calls."""
        os.environ["MLFLOW_TRACKING_URI"] = uri
        lock = write_lock(self.paths.lock, self.root / "run.yaml")
        return main(["publish", "--lock", str(lock), "--storage", str(self.paths.storage)])

    def everything(self) -> list[Any]:
        """Time stamps of the published files, and MLflow's rows about the run and its version."""
        files = sorted((path, path.stat().st_mtime_ns) for path in self.paths.merged.rglob("*"))
        tables = ("runs", "metrics", "tags", "model_versions", "model_version_tags", "registered_model_aliases")
        return [files, *(self.rows(f"select * from {table}") for table in tables)]

    def rows(self, query: str) -> list[Any]:
        """Rows of the MLflow store."""
        with sqlite3.connect(self.store) as connection:
            return list(connection.execute(query))


def place(root: Path) -> Place:
    """A storage below `root`; the same run wherever it is."""
    return Place(root, make_paths(root, settings={"max_steps": STEPS, "lora_dropout": 0.1}))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, Ended]:
    """A run trained in one go, MLflow at hand."""
    made = place(tmp_path_factory.mktemp("undisturbed"))
    ended = made.train()
    assert ended.code == 0, ended.output
    return made, ended


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, list[Ended]]:
    """The same run with MLflow away: stopped by SIGTERM, started, killed by SIGKILL, started and finished."""
    made = place(tmp_path_factory.mktemp("disturbed"))
    ended = [
        made.train(uri=AWAY, kill=("progress", 3, signal.SIGTERM)),
        made.train(uri=AWAY, kill=("progress", 7, signal.SIGKILL)),
        made.train(uri=AWAY),
    ]
    return made, ended


def test_a_run_ends_with_a_proof_and_tells_its_way(undisturbed: tuple[Place, Ended]) -> None:
    """Rows compared, a progress line a step with real figures, checkpoints, and completion.json over the adapter."""
    made, ended = undisturbed
    (data,) = ended.named("data")
    assert (data["rows_expected"], data["rows_trained"], data["rows_skipped"]) == (32, 32, 0)
    lines = ended.named("progress")
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    assert all(
        {"percent", "eta_seconds", "loss", "learning_rate", "tokens_per_second"} <= line.keys() for line in lines
    )
    assert [line["tokens"] for line in lines] == sorted({line["tokens"] for line in lines})
    assert [event["step"] for event in ended.named("checkpoint")] == [2, 4, 6, 8]
    proof = completion.check(made.paths).completion
    assert proof is not None
    assert (proof.steps_done, proof.steps_planned, proof.git_commit) == (STEPS, STEPS, "f" * 40)
    assert {"adapter_model.safetensors", "adapter_config.json", "tokenizer.json"} <= proof.files.keys()
    assert not [name for name in proof.files if name.startswith(("optimizer", "training_args", "rng"))]
    assert proof.mlflow_run_id == made.rows("select run_uuid from runs")[0][0]
    assert {"llamafactory", "torch", "transformers", "peft", "mlflow", "python"} <= proof.versions.keys()


def test_mlflow_has_the_parameters_before_the_first_step(undisturbed: tuple[Place, Ended]) -> None:
    """Parameters, dataset and tags are spooled first; then every logged step, once."""
    made, _ = undisturbed
    spool = (made.paths.checkpoints / "mlflow-spool.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["kind"] for line in spool[:4]] == ["status", "run", "tags", "metrics"]
    assert [step for step, _ in made.rows(LOSSES)] == list(range(1, STEPS + 1))
    assert made.rows("select value from params where key = 'max_steps'") == [(str(STEPS),)]
    assert made.rows("select name from datasets") == [("topics",)]
    assert made.rows("select status from runs") == [("FINISHED",)]


def test_a_finished_run_is_trained_no_second_time(undisturbed: tuple[Place, Ended]) -> None:
    """Exit 0 with no step, and MLflow hears nothing."""
    made, _ = undisturbed
    before = made.rows("select * from runs")
    ended = made.train()
    assert ended.code == 0
    assert [event["event"] for event in ended.events] == ["finish"]
    assert made.rows("select * from runs") == before


def test_sigterm_saves_a_checkpoint_and_is_exit_75(disturbed: tuple[Place, list[Ended]]) -> None:
    """At the next step boundary; the failure says that starting again resumes."""
    _, (stopped, *_) = disturbed
    assert stopped.code == 75, stopped.output
    (failure,) = stopped.named("failure")
    assert "stopped by SIGTERM" in failure["cause"]
    saved = stopped.named("checkpoint")[-1]["step"]
    assert saved == stopped.named("progress")[-1]["step"]
    assert saved < STEPS


def test_a_killed_run_resumes_to_the_same_end(
    undisturbed: tuple[Place, Ended], disturbed: tuple[Place, list[Ended]]
) -> None:
    """Each start begins at the newest sealed checkpoint; the weights are those of the run that nothing disturbed."""
    made, (stopped, killed, finished) = disturbed
    assert (killed.code, finished.code) == (-signal.SIGKILL, 0), finished.output
    for earlier, later in ((stopped, killed), (killed, finished)):
        assert later.named("resume")
        assert later.named("start")[0]["step"] == earlier.named("checkpoint")[-1]["step"]
    proof, expected = completion.check(made.paths).completion, completion.check(undisturbed[0].paths).completion
    assert proof is not None
    assert expected is not None
    assert proof.steps_done == STEPS
    assert proof.mlflow_run_id is None
    assert proof.files["adapter_model.safetensors"] == expected.files["adapter_model.safetensors"]
    assert proof.metrics["train_loss"] == pytest.approx(expected.metrics["train_loss"])


@pytest.fixture
def own_environment() -> Iterator[None]:
    """The runner sets variables for LLaMA Factory; in the tests' own process they are taken back."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.usefixtures("own_environment")
def test_publish_replays_merges_and_registers_and_changes_nothing_the_second_time(
    undisturbed: tuple[Place, Ended], disturbed: tuple[Place, list[Ended]], capsys: pytest.CaptureFixture[str]
) -> None:
    """MLflow away: the model is placed and exit 75 asks for another try. MLflow back: all steps once, one version."""
    made, _ = disturbed
    assert made.publish(AWAY) == 75
    placing.verify(made.paths)
    assert "is away" in capsys.readouterr().err
    assert made.publish(f"sqlite:///{made.store}") == 0
    merge, register, _ = [
        json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith('{"event"')
    ]
    assert (merge["name"], merge["skipped"], register["name"], register["version"]) == ("merge", True, "register", 1)
    assert made.rows(LOSSES) == [(step, pytest.approx(value)) for step, value in undisturbed[0].rows(LOSSES)]
    assert made.rows("select version from model_versions") == [(1,)]
    assert made.rows("select alias, version from registered_model_aliases") == [("candidate", 1)]
    before = made.everything()
    assert made.publish(f"sqlite:///{made.store}") == 0
    assert made.everything() == before


def test_the_merged_model_is_the_base_with_the_adapter(disturbed: tuple[Place, list[Ended]]) -> None:
    """It loads without the adapter, in the base's type, and differs from the base where LoRA trained."""
    import torch
    from transformers import AutoModelForCausalLM

    made, _ = disturbed
    merged = AutoModelForCausalLM.from_pretrained(made.paths.merged)
    base = AutoModelForCausalLM.from_pretrained(made.paths.base_model)
    assert merged.dtype == torch.float32
    name = "model.layers.0.self_attn.q_proj.weight"
    assert not torch.equal(merged.state_dict()[name], base.state_dict()[name])
    assert torch.equal(merged.state_dict()["model.norm.weight"], base.state_dict()["model.norm.weight"])


@pytest.mark.parametrize("cause", [Stopped, TimeLimit])
def test_a_run_that_must_stop_saves_at_the_step_boundary_and_leaves(tmp_path: Path, cause: type[RunnerError]) -> None:
    """SIGTERM or the time limit: the trainer is asked for a checkpoint, which is sealed before the way out."""
    from torch.utils.data import DataLoader
    from transformers import TrainerControl, TrainerState, TrainingArguments

    from runner.callback import RunCallback

    paths = make_paths(tmp_path)
    folder = paths.writing / "checkpoint-3"
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    sigterm = Sigterm()
    budget = Budget(paths.checkpoints, 1, 0 if cause is TimeLimit else 3600)
    callback = RunCallback(paths, Spool(paths.checkpoints), budget, sigterm)
    arguments = TrainingArguments(output_dir=str(paths.writing), use_cpu=True, report_to="none")
    state, control = TrainerState(global_step=2, max_steps=6), TrainerControl(should_evaluate=True)
    callback.on_train_begin(arguments, state, control, train_dataloader=DataLoader([0] * 32))  # type: ignore[arg-type]
    state.global_step = 3
    sigterm.received = cause is Stopped
    callback.on_step_end(arguments, state, control)
    assert (control.should_save, control.should_training_stop, control.should_evaluate) == (True, True, False)
    callback.on_save(arguments, state, control)
    with pytest.raises(cause, match="checkpoint-3"):
        callback.on_epoch_end(arguments, state, control)
    assert (paths.checkpoints / "checkpoint-3" / "manifest.json").is_file()
    assert not folder.exists()


def test_a_run_at_its_last_step_finishes_whatever_comes(tmp_path: Path) -> None:
    """SIGTERM or a used up time limit at the end must not turn a trained model into a failure."""
    from torch.utils.data import DataLoader
    from transformers import TrainerControl, TrainerState, TrainingArguments

    from runner.callback import RunCallback

    paths = make_paths(tmp_path)
    paths.checkpoints.mkdir(parents=True)
    sigterm = Sigterm()
    callback = RunCallback(paths, Spool(paths.checkpoints), Budget(paths.checkpoints, 1, 0), sigterm)
    arguments = TrainingArguments(output_dir=str(paths.checkpoints), use_cpu=True, report_to="none")
    state, control = TrainerState(global_step=6, max_steps=6), TrainerControl()
    callback.on_train_begin(arguments, state, control, train_dataloader=DataLoader([0] * 32))  # type: ignore[arg-type]
    sigterm.received = True
    callback.on_step_end(arguments, state, control)
    callback.on_train_end(arguments, state, control)
    assert not control.should_training_stop
