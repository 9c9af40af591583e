"""One run killed again and again, at moments drawn by chance, with damage in between: it ends as if nothing had happened.

`make test` kills a few times; `make soak` sets SOAK_KILLS and kills until it is tired. SOAK_SEED draws other moments.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import pytest

from runner import checkpoints, completion, delivery
from runner.__main__ import main
from runner.hashing import faults
from runner.records import read
from runner.spool import Outbox
from runner.storage import Paths
from tests.faults.clock import Clock
from tests.faults.mounts import faulty
from tests.faults.nursery import Child, Nursery
from tests.runs import make_paths, write_lock

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(find_spec("llamafactory") is None, reason="needs the runner's environment"),
    pytest.mark.timeout(3600),
]
KILLS = int(os.environ.get("SOAK_KILLS", "4"))
SEED = int(os.environ.get("SOAK_SEED", "6"))
STEPS = 24
AWAY = "http://127.0.0.1:9"  # the discard port: nobody listens
HOUR = 3600


@dataclass
class Run:
    """A run on a storage of its own."""

    root: Path
    nursery: Nursery
    paths: Paths
    starts: list[Child] = field(default_factory=list)

    def start(self, command: str = "train", **environment: str) -> Child:
        """A process that trains it, or goes on with it."""
        lock = write_lock(self.paths.lock, self.root / "run.yaml")
        arguments = [command, "--lock", str(lock), "--storage", str(self.paths.storage)]
        environment = {"MLFLOW_TRACKING_URI": AWAY, **environment}
        self.starts.append(self.nursery.start(arguments, self.root / f"{len(self.starts)}.log", **environment))
        return self.starts[-1]

    def finish(self) -> str:
        """Train to the end; SHA-256 of the adapter."""
        child = self.start()
        assert child.wait() == 0, child.output
        return self.adapter

    @property
    def adapter(self) -> str:
        """SHA-256 of the finished adapter's weights, by the proof, which is valid."""
        proof = completion.check(self.paths).completion
        assert proof is not None
        assert proof.steps_done == STEPS
        return proof.files["adapter_model.safetensors"].sha256

    @property
    def losses(self) -> dict[int, float]:
        """The loss of each step as MLflow is to get it: of what was spooled twice the first counts."""
        found: dict[int, float] = {}
        for entry, _ in Outbox(self.paths.checkpoints).entries():
            if entry["kind"] == "metrics" and "loss" in entry["values"]:
                assert found.setdefault(entry["step"], entry["values"]["loss"]) == entry["values"]["loss"]
        return found

    def nothing_half_written(self) -> None:
        """Whatever stands under its final name is whole: checkpoints, the adapter, the published model."""
        if self.paths.checkpoints.exists():
            for folder in checkpoints.all_in(self.paths.checkpoints):
                manifest = read(checkpoints.Manifest, folder / checkpoints.MANIFEST)
                assert faults(folder, manifest.files) == []
        if self.paths.adapter.exists():
            assert completion.check(self.paths).completion is not None
        assert not self.paths.merged.exists() or (self.paths.merged / "publication.json").exists()


def make_run(root: Path, nursery: Nursery) -> Run:
    """The same run wherever it is."""
    return Run(root, nursery, make_paths(root, settings={"max_steps": STEPS, "lora_dropout": 0.1}))


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> Clock:
    """The wall clock of all processes of the nursery."""
    return Clock(tmp_path_factory.mktemp("clock"))


@pytest.fixture(scope="module")
def nursery(clock: Clock) -> Iterator[Nursery]:
    """Processes that start in a moment."""
    made = Nursery(clock.environment)
    yield made
    made.close()


@pytest.fixture(scope="module")
def reference(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that nothing disturbs."""
    run = make_run(tmp_path_factory.mktemp("reference"), nursery)
    run.finish()
    assert sorted(run.losses) == list(range(1, STEPS + 1))
    return run


@pytest.fixture
def run(nursery: Nursery, tmp_path: Path) -> Run:
    """A run to be disturbed."""
    return make_run(tmp_path, nursery)


def same(run: Run, reference: Run) -> None:
    """Nobody sees what the run went through: weights to the bit, every step's loss once and the same."""
    assert run.adapter == reference.adapter
    assert run.losses == reference.losses
    run.nothing_half_written()


def newest(run: Run) -> Path | None:
    """The newest checkpoint's folder."""
    name = checkpoints.last(run.paths.checkpoints) if run.paths.checkpoints.exists() else None
    return run.paths.checkpoints / name if name else None


def flip(run: Run) -> None:
    """A bit of the newest checkpoint turned over."""
    if (checkpoint := newest(run)) is not None:
        data = bytearray((checkpoint / "optimizer.pt").read_bytes())
        data[len(data) // 2] ^= 1
        (checkpoint / "optimizer.pt").write_bytes(data)


def cut(run: Run) -> None:
    """The newest checkpoint's weights without their end."""
    if (checkpoint := newest(run)) is not None:
        weights = checkpoint / "adapter_model.safetensors"
        os.truncate(weights, weights.stat().st_size - 1)


def test_a_run_killed_at_random_moments_ends_as_if_nothing_had_happened(run: Run, reference: Run, clock: Clock) -> None:
    """Kill -9, damage to the newest checkpoint after some kills, a clock set back an hour: the same adapter, each step once."""
    chance = random.Random(SEED)
    begin, *_, end = [event["time"] for event in reference.starts[0].events("progress")]
    launched = reference.starts[0].events("data")[0]["time"]
    damages = [None, flip, cut, None]
    for number in range(KILLS):
        child = run.start()
        if number % 4 == 3:
            clock.set_back(HOUR * (1 + number // 4))
        _until(child, "data")
        time.sleep(chance.uniform(0.0, begin - launched + 0.8 * (end - begin)))
        child.kill()
        assert child.wait() in (-signal.SIGKILL, 0), child.output
        run.nothing_half_written()
        damage = damages[number % 4]
        if damage is not None and not run.paths.adapter.exists():
            damage(run)
    clock.set_back(0)
    run.finish()
    same(run, reference)


def _until(child: Child, event: str) -> None:
    """Wait for an event of a process; one that ends before is let be."""
    while not child.log.exists() or (f'"event": "{event}"' not in child.output and '"failure"' not in child.output):
        time.sleep(0.01)


def test_sigterm_during_the_last_step_loses_nothing(run: Run, reference: Run) -> None:
    """Either the run still finishes, or the next start does."""
    child = run.start()
    while f'"step": {STEPS - 1}, "steps"' not in child.output:
        time.sleep(0.001)
    child.kill(signal.SIGTERM)
    code = child.wait()
    assert code in (0, 75), child.output
    assert code == 0 or run.finish()
    same(run, reference)


def test_a_second_pod_of_the_run_is_refused_and_the_first_goes_on(
    run: Run, reference: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 75 before anything is written, while the first trains to its end."""
    child = run.start()
    _until(child, "data")
    lock = str(run.root / "run.yaml")
    assert main(["train", "--lock", lock, "--storage", str(run.paths.storage)]) == 75
    assert "works on this run" in capsys.readouterr().err
    assert child.wait() == 0, child.output
    same(run, reference)


def test_a_storage_that_fails_under_a_training_costs_nothing_but_the_restart(
    run: Run, reference: Run, tmp_path: Path
) -> None:
    """EIO while the trainer writes: exit 75, the checkpoint before is kept; a mended storage and a new pod end the run."""
    with faulty(tmp_path / "faulty") as storage:
        shutil.rmtree(run.paths.storage / "output", ignore_errors=True)
        (run.paths.storage / "output").symlink_to(storage.folder)
        storage.fails("EIO", "write,fsync", "writing/checkpoint-6")
        child = run.start(RUNNER_STORAGE_WAIT_SECONDS="0")
        assert child.wait() == 75, child.output
        (failure,) = child.events("failure")
        assert "Input/output error" in failure["cause"]
        assert "checkpoint-4 is kept" in failure["cause"]
        storage.works()
        assert run.finish()
        assert run.starts[-1].events("start")[0]["step"] == 4
        same(run, reference)


@pytest.mark.parametrize("init", [None, "tini"])
def test_sigterm_during_start_up_is_exit_75(tmp_path: Path, init: str | None) -> None:
    """Alone, and as the image has it: tini as process 1 of a container, whose whole group gets the signal."""
    paths = make_paths(tmp_path)
    lock = write_lock(paths.lock, tmp_path / "run.yaml")
    command = [sys.executable, "-m", "runner", "train", "--lock", str(lock), "--storage", str(paths.storage)]
    if init is not None:
        if shutil.which(init) is None or os.geteuid() != 0:
            pytest.skip("tini is not installed, or this is not root, who alone may make a process 1")
        command = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", init, "-g", "--", *command]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": AWAY}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    spool = paths.checkpoints / "mlflow-spool.jsonl"
    while not spool.exists() or not spool.stat().st_size:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    if init is None:
        process.send_signal(signal.SIGTERM)
    else:
        (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(child), signal.SIGTERM)  # process 1 of the namespace, as a kubelet does it
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 75, output
    assert "stopped by SIGTERM" in output


@pytest.mark.soak
def test_a_publish_killed_at_random_moments_ends_with_one_version(run: Run, reference: Run) -> None:
    """Nothing half-written is visible after any kill, and the last publish leaves every step once and one version."""
    chance = random.Random(SEED)
    assert run.finish() == reference.adapter
    store = f"sqlite:///{run.root}/mlflow.db"
    for _ in range(KILLS // 2):
        child = run.start("publish", MLFLOW_TRACKING_URI=store)
        time.sleep(chance.uniform(0.0, 5.0))  # a publish takes about as long, and less once parts of it are done
        child.kill()
        assert child.wait() in (-signal.SIGKILL, 0), child.output
        run.nothing_half_written()
    last = run.start("publish", MLFLOW_TRACKING_URI=store)
    assert last.wait() == 0, last.output
    from mlflow import MlflowClient

    client = MlflowClient(store, store)
    run_id = delivery.read_record(run.paths.checkpoints)["mlflow_run_id"]
    history = client.get_metric_history(run_id, "loss")
    assert sorted((metric.step, metric.value) for metric in history) == sorted(reference.losses.items())
    assert len(client.search_model_versions("name = 'team-a.support'")) == 1
