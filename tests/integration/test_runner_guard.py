"""Trainings that go wrong numerically: they end with exit 6, a cause, and checkpoints from before."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from runner import checkpoints
from runner.exits import Diverged
from tests.runs import make_paths, write_lock

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(find_spec("llamafactory") is None, reason="needs the runner's environment"),
]
AWAY = "http://127.0.0.1:9"  # the discard port: nobody listens


def test_a_loss_that_is_no_number_ends_the_run_behind_a_sound_checkpoint(tmp_path: Path) -> None:
    """A learning rate of 1e38 makes the weights infinite after the second step; nothing of that is kept."""
    from safetensors.torch import load_file

    settings = {"learning_rate": 1e38, "warmup_steps": 4, "save_steps": 1, "logging_steps": 10, "max_steps": 8}
    paths = make_paths(tmp_path, settings=settings)
    lock = write_lock(paths.lock, tmp_path / "run.yaml")
    words = tmp_path / "termination-log"
    ended = subprocess.run(
        [sys.executable, "-m", "runner", "train", "--lock", lock, "--storage", paths.storage],
        check=False,
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "MLFLOW_TRACKING_URI": AWAY,
            "RUNNER_TERMINATION_LOG": str(words),
        },
    )
    assert ended.returncode == 6, ended.stdout + ended.stderr
    failure = json.loads((paths.checkpoints / "failure.json").read_text())
    assert (failure["code"], failure["exit_code"], json.loads(words.read_text())["code"]) == ("nan-loss", 6, "nan-loss")
    kept = checkpoints.newest(paths.checkpoints, paths.lock.sha256)
    assert kept is not None
    assert int(kept.name.rpartition("-")[2]) < failure["details"]["step"]
    for checkpoint in checkpoints.all_in(paths.checkpoints):
        for tensor in load_file(checkpoint / "adapter_model.safetensors").values():
            assert bool(tensor.isfinite().all()), checkpoint
    assert not paths.adapter.exists()


class Scene:
    """A guard in the middle of a training whose log is given."""

    def __init__(self, folder: Path) -> None:
        import torch
        from transformers import TrainerControl, TrainerState, TrainingArguments

        from runner.guard import Guard

        self.model = torch.nn.Linear(4, 4)
        self.arguments = TrainingArguments(output_dir=str(folder), use_cpu=True, report_to="none")
        self.state = TrainerState(global_step=7)
        self.control = TrainerControl()
        self.guard = Guard("dpo")

    def logs(self, loss: float) -> None:
        """The trainer logs a loss, as `Trainer.log` does."""
        self.state.log_history.append({"loss": loss, "step": self.state.global_step})
        self.guard.on_log(self.arguments, self.state, self.control, {"loss": loss})

    def step_ends(self, **control: Any) -> None:
        """A step ends with what the trainer wants to do next."""
        for name, value in control.items():
            setattr(self.control, name, value)
        self.guard.on_step_end(self.arguments, self.state, self.control, model=self.model)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A guard that has seen five good losses."""
    made = Scene(tmp_path)
    for loss in (0.7, 0.6, 0.7, 0.5, 0.6):
        made.logs(loss)
    return made


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_the_first_loss_that_is_no_number_is_the_last(scene: Scene, loss: float) -> None:
    """There is no way back from it."""
    with pytest.raises(Diverged, match="at step 7") as caught:
        scene.logs(loss)
    assert caught.value.code == "nan-loss"


def test_an_exploding_loss_gets_no_checkpoint_and_ends_at_the_fifth(scene: Scene) -> None:
    """While it is suspicious the checkpoint from before stays the newest; one that falls again is forgiven."""
    scene.control.should_save = True
    for _ in range(4):
        scene.logs(50.0)
        assert not scene.control.should_save
        scene.control.should_save = True
    scene.logs(0.6)
    assert scene.control.should_save
    for _ in range(4):
        scene.logs(50.0)
    with pytest.raises(Diverged, match=r"last 5 logged losses are above 2\.1") as caught:
        scene.logs(51.0)
    assert (caught.value.code, caught.value.details["loss"]) == ("exploding-loss", 51.0)


def test_sigterm_saves_even_a_suspicious_state(scene: Scene) -> None:
    """A run that must leave loses nothing; the resumed one is judged on, as the log is part of the checkpoint."""
    scene.step_ends(should_save=True, should_training_stop=True)
    scene.logs(50.0)
    assert scene.control.should_save


def test_a_checkpoint_comes_after_a_log_and_a_look_at_the_weights(scene: Scene) -> None:
    """A weight that is no number stops the run before it is written, whatever the loss was."""
    import torch

    scene.step_ends(should_save=False)
    assert not scene.control.should_log
    scene.step_ends(should_save=True)
    assert scene.control.should_log
    with torch.no_grad():
        scene.model.weight[2, 3] = math.nan
    with pytest.raises(Diverged, match="a trained weight"):
        scene.step_ends(should_save=True)
    with pytest.raises(Diverged, match="a trained weight"):
        scene.guard.on_train_end(scene.arguments, scene.state, scene.control, model=scene.model)


def test_weights_that_are_not_trained_and_low_precision_are_looked_at_rightly() -> None:
    """Frozen ones are the base model's matter; a sum of bfloat16 weights does not overflow."""
    import torch

    from runner.guard import finite

    frozen = torch.nn.Parameter(torch.tensor([math.inf]), requires_grad=False)
    large = torch.nn.Parameter(torch.full((1000,), 1e35, dtype=torch.bfloat16))
    assert finite([frozen, large, torch.nn.Parameter(torch.empty(0))])
    assert not finite([torch.nn.Parameter(torch.tensor([1.0, math.inf, -math.inf]))])
    assert finite([])
