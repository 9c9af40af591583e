"""Whole runs of two ranks on the CPU (gloo): two processes of one pod, and two pods of one process each.

A lock with `gpus: 2` and LLaMA Factory's `use_cpu` trains on the CPU with a rank for each GPU that it asks for; `ft expand`
writes no such lock.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest

from runner import completion
from runner.checkpoints import Manifest
from runner.hashing import record
from runner.storage import Paths
from tests.runs import make_lock, make_paths, write_lock
from tools.sharding import PRESET

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(find_spec("llamafactory") is None, reason="needs the runner's environment"),
]
STEPS = 8
# The platform's preset but for its two settings that accelerate refuses without a GPU: how the weights get there at the start.
ON_CPUS = {**PRESET["fsdp_config"], "cpu_ram_efficient_loading": False, "sync_module_states": False}
SHARDING_ON_CPUS = str(Path(__file__).resolve().parent.parent / "faults" / "cpu_sharding")
Act = Callable[["Training"], None]


class Training:
    """A `runner train` that runs: its events so far, and what can be done to it."""

    def __init__(self, root: Path, paths: Paths, **environment: str) -> None:
        lock = write_lock(paths.lock, root / "run.yaml")
        self.events: list[dict[str, Any]] = []
        self.output = ""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "runner", "train", "--lock", lock, "--storage", paths.storage],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "MLFLOW_TRACKING_URI": "http://127.0.0.1:9", **environment},
        )  # fmt: skip

    def rank(self, number: int) -> psutil.Process:
        """The process of a rank."""
        ranks = psutil.Process(self._process.pid).children()
        return next(each for each in ranks if each.environ().get("RANK") == str(number))

    def terminate(self) -> None:
        """SIGTERM, as the kubelet sends it: to the container's first process."""
        self._process.send_signal(signal.SIGTERM)

    def end(self, at: tuple[str, int] | None = None, act: Act | None = None) -> int:
        """Its exit code; `act` is done when the event `at` (name, step) appears."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.output += line
            if line.startswith('{"event"'):
                self.events.append(json.loads(line))
                if act and (self.events[-1]["event"], self.events[-1].get("step")) == at:
                    act(self)
        return self._process.wait()

    def named(self, name: str) -> list[dict[str, Any]]:
        """Events of one kind."""
        return [event for event in self.events if event["event"] == name]


def two(root: Path, **changes: Any) -> Paths:
    """A run of two ranks in one pod."""
    settings = {"max_steps": STEPS, **changes.pop("settings", {})}
    return make_paths(root, settings=settings, **{"resources": {"gpus": 2}, **changes})


def adapter(paths: Paths) -> Path:
    """The finished adapter, proved."""
    assert completion.check(paths).completion is not None
    return paths.adapter / "adapter_model.safetensors"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Paths, Training]:
    """Two ranks, in one go."""
    root = tmp_path_factory.mktemp("two")
    paths = two(root)
    training = Training(root, paths)
    assert training.end() == 0, training.output
    return paths, training


def test_only_rank_0_is_seen(undisturbed: tuple[Paths, Training]) -> None:
    """One line of progress a step, one proof, each checkpoint sealed once and with both ranks' random states."""
    paths, training = undisturbed
    assert [event["step"] for event in training.named("progress")] == list(range(1, STEPS + 1))
    assert [event["step"] for event in training.named("checkpoint")] == [2, 4, 6, 8]
    assert len(training.named("finish")) == 1
    manifest = json.loads((paths.checkpoints / "checkpoint-8" / "manifest.json").read_text(encoding="utf-8"))
    assert {"rng_state_0.pth", "rng_state_1.pth", "optimizer.pt"} <= manifest["files"].keys()
    assert json.loads(adapter(paths).with_name("completion.json").read_text())["rows_trained"] == 32


def test_two_ranks_learn_what_one_learns(undisturbed: tuple[Paths, Training], tmp_path: Path) -> None:
    """One process with the same effective batch ends with the same weights, up to the order of additions."""
    import torch
    from safetensors.torch import load_file

    paths = make_paths(tmp_path, settings={"max_steps": STEPS, "per_device_train_batch_size": 8})
    alone = Training(tmp_path, paths)
    assert alone.end() == 0, alone.output
    expected, found = load_file(adapter(paths)), load_file(adapter(undisturbed[0]))
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=1e-5, msg=name)


def test_a_stopped_and_a_killed_gang_resume_to_the_same_end(
    undisturbed: tuple[Paths, Training], tmp_path: Path
) -> None:
    """SIGTERM: all leave at one step, exit 75. A rank killed: the other ends too, exit 75. Then bit for bit the same."""
    paths = two(tmp_path)
    stopped = Training(tmp_path, paths)
    assert stopped.end(("progress", 3), Training.terminate) == 75, stopped.output
    assert "stopped by SIGTERM" in stopped.named("failure")[-1]["cause"]
    saved = stopped.named("checkpoint")[-1]["step"]
    assert saved == stopped.named("progress")[-1]["step"] < STEPS

    killed = Training(tmp_path, paths)
    assert killed.end(("progress", 6), lambda training: training.rank(1).kill()) == 75, killed.output
    assert killed.named("start")[0]["step"] == saved
    assert len(killed.named("failure")) == 1

    last = Training(tmp_path, paths)
    assert last.end() == 0, last.output
    kept = [saved, *(event["step"] for event in killed.named("checkpoint"))]
    assert last.named("start")[0]["step"] == kept[-1]
    assert adapter(paths).read_bytes() == adapter(undisturbed[0]).read_bytes()


def test_a_hung_collective_is_ended_and_goes_on(undisturbed: tuple[Paths, Training], tmp_path: Path) -> None:
    """Rank 1 stands still, so rank 0 waits for it in a collective: 75 after the limit, then bit for bit the same."""
    paths = two(tmp_path)
    hung = Training(tmp_path, paths, RUNNER_STALL_SECONDS="15")
    assert hung.end(("progress", 5), lambda training: training.rank(1).suspend()) == 75, hung.output
    assert hung.named("failure")[-1]["code"] == "stalled"
    last = Training(tmp_path, paths)
    assert last.end() == 0, last.output
    assert last.named("start")[0]["step"] == 4
    assert adapter(paths).read_bytes() == adapter(undisturbed[0]).read_bytes()


def test_two_nodes_train_as_two_ranks_of_one(undisturbed: tuple[Paths, Training], tmp_path: Path) -> None:
    """Two pods with a rank each, on one storage: the same weights, and only node 0 says anything."""
    paths = two(tmp_path, resources={"gpus": 0, "nodes": 2})
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    place = {"GANG_ADDRESS": "127.0.0.1", "GANG_PORT": port}
    first, second = (Training(tmp_path, paths, JOB_COMPLETION_INDEX=str(node), **place) for node in range(2))
    assert (first.end(), second.end()) == (0, 0), first.output + second.output
    assert not second.named("progress") + second.named("finish") + second.named("checkpoint")
    assert adapter(paths).read_bytes() == adapter(undisturbed[0]).read_bytes()


def test_a_sharded_run_learns_the_same_and_resumes(tmp_path: Path) -> None:
    """FSDP for real: each rank keeps its part, and a whole, sealed checkpoint takes a killed gang to the end of a full training."""
    import torch
    from safetensors.torch import load_file

    def sharded(name: str, **preset: Any) -> tuple[Paths, Path]:
        (tmp_path / name).mkdir()
        settings = {"finetuning_type": "full", "save_steps": 4, **preset}
        return two(tmp_path / name, settings=settings, publish=None), tmp_path / name

    paths, root = sharded("sharded", **{**PRESET, "fsdp_config": ON_CPUS})
    killed = Training(root, paths, PYTHONPATH=SHARDING_ON_CPUS)
    assert killed.end(("progress", 6), lambda training: training.rank(1).kill()) == 75, killed.output
    manifest = json.loads((paths.checkpoints / "checkpoint-4" / "manifest.json").read_text(encoding="utf-8"))
    assert {"pytorch_model_fsdp.bin", "optimizer.bin"} <= manifest["files"].keys()  # what only FSDP writes
    resumed = Training(root, paths, PYTHONPATH=SHARDING_ON_CPUS)
    assert resumed.end() == 0, resumed.output
    assert resumed.named("start")[0]["step"] == 4

    plain, root = sharded("plain")
    whole = Training(root, plain)
    assert whole.end() == 0, whole.output
    expected, found = (load_file(adapter(each).with_name("model.safetensors")) for each in (plain, paths))
    base = load_file(paths.base_model / "model.safetensors")
    assert torch.equal(found.pop("lm_head.weight"), found["model.embed_tokens.weight"])  # a sharded run writes both
    for name, start in base.items():
        # Adam's first steps are as long for a gradient that is nothing but rounding, so single numbers may differ.
        assert (found[name] - expected[name]).norm() < 0.02 * (expected[name] - start).norm(), name
    norms = [[event["grad_norm"] for event in each.named("progress")] for each in (whole, resumed)]
    assert norms[1] == pytest.approx(norms[0][4:], rel=1e-3)  # of all weights, not of a rank's part


@pytest.mark.parametrize("code", [3, 5])
def test_a_ranks_exit_code_comes_through(tmp_path: Path, code: int) -> None:
    """Torchrun ends with 1 whatever its workers end with; the run's own code is 3 for a foreign checkpoint, 5 for time."""
    paths = two(tmp_path)
    if code == 5:
        paths.checkpoints.mkdir(parents=True)
        used = {"attempt": 1, "seconds": 3600.0, "earlier": 0.0, "since": "2026-01-01T00:00:00+00:00"}
        (paths.checkpoints / "time-used.json").write_text(json.dumps(used))
    else:
        foreign = paths.checkpoints / "checkpoint-2"
        foreign.mkdir(parents=True)
        (foreign / "weights").write_bytes(b"weights")
        other = make_lock(paths.storage, settings={"seed": 1})
        Manifest(run_sha256=other.sha256, step=2, files=record(foreign, ["weights"])).write(foreign / "manifest.json")
    training = Training(tmp_path, paths)
    assert training.end() == code, training.output
    (failure,) = training.named("failure")
    assert failure["exit_code"] == code
    assert json.loads((paths.checkpoints / "failure.json").read_text())["exit_code"] == code
