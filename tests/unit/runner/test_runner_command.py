"""The command line and its exit codes, as far as they go without LLaMA Factory."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest

from runner import failures, rows, trainer
from runner.__main__ import main
from runner.events import finite
from runner.exits import BadSpec, Mismatch, OutOfMemory, Retry, RunnerError, Stopped, TimeLimit
from runner.progress import Progress, metrics
from runner.storage import Paths, exclusive
from tests.finished import finish
from tests.runs import make_paths, write_lock


def call(command: str, paths: Paths, root: Path, *options: str) -> int:
    """The command with the lock as a file."""
    lock = write_lock(paths.lock, root / "run.yaml")
    return main([command, "--lock", str(lock), "--storage", str(paths.storage), *options])


def events(output: str) -> list[dict[str, object]]:
    """The JSON lines of some output."""
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def test_a_finished_run_is_not_trained_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 0 at once, and nothing is written."""
    paths = make_paths(tmp_path)
    finish(paths)
    before = sorted(paths.storage.rglob("*"))
    assert call("train", paths, tmp_path) == 0
    (event,) = events(capsys.readouterr().out)
    assert (event["event"], event["already"]) == ("finish", True)
    assert sorted(paths.storage.rglob("*")) == before


def test_a_changed_dataset_is_exit_3_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No folder, no MLflow run, and the failure event says what to do."""
    paths = make_paths(tmp_path)
    data = paths.dataset(paths.lock.run.datasets[0])
    data.write_bytes(data.read_bytes() + b"\n")
    assert call("train", paths, tmp_path) == 3
    assert not (paths.storage / "output").exists()
    output = capsys.readouterr()
    (event,) = events(output.out)
    assert (event["event"], event["exit_code"]) == ("failure", 3)
    assert "topics.json: sha256 is" in str(event["cause"])
    assert "ft dataset add" in output.err


def test_pre_checks_import_nothing_heavy(tmp_path: Path) -> None:
    """A wrong hash is told without waiting for torch, transformers or MLflow."""
    paths = make_paths(tmp_path)
    (paths.base_model / "config.json").unlink()
    lock = write_lock(paths.lock, tmp_path / "run.yaml")
    code = (
        "import sys; from runner.__main__ import main\n"
        "code = main(sys.argv[1:])\n"
        "heavy = {'torch', 'transformers', 'mlflow', 'llamafactory', 'pandas', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "sys.exit(code)"
    )
    command = [sys.executable, "-c", code, "train", "--lock", lock, "--storage", paths.storage]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 3


def test_an_unfinished_run_is_not_published(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 3, and nothing appears under merged-model."""
    paths = make_paths(tmp_path)
    assert call("publish", paths, tmp_path, "--manual") == 3
    assert "training has not finished: no completion.json in" in capsys.readouterr().err
    assert not (paths.storage / "models" / "merged-model").exists()


def test_a_tampered_lock_is_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For both commands."""
    paths = make_paths(tmp_path)
    file = write_lock(paths.lock, tmp_path / "run.yaml")
    file.write_text(file.read_text(encoding="utf-8").replace("lora_rank: 4", "lora_rank: 400"), encoding="utf-8")
    for command in ("train", "publish"):
        assert main([command, "--lock", str(file), "--storage", str(paths.storage)]) == 2
    assert "changed after sealing" in capsys.readouterr().err


def test_a_used_up_time_limit_is_exit_5_with_a_remedy(tmp_path: Path) -> None:
    """failure.json lies beside the checkpoints for whoever looks there."""
    paths = make_paths(tmp_path, resources={"time_limit_seconds": 60})
    paths.checkpoints.mkdir(parents=True)
    used = {"attempt": 1, "seconds": 61.0, "earlier": 0.0, "since": "2026-01-01T00:00:00+00:00"}
    (paths.checkpoints / "time-used.json").write_text(json.dumps(used), encoding="utf-8")
    assert call("train", paths, tmp_path) == 5
    failure = json.loads((paths.checkpoints / "failure.json").read_text(encoding="utf-8"))
    assert failure["exit_code"] == 5
    assert "raise `attempt`" in failure["remedy"]


def test_a_second_trainer_stays_out(tmp_path: Path) -> None:
    """A pod that its lost node still runs holds the folder; the new one is to come again."""
    paths = make_paths(tmp_path)
    paths.checkpoints.mkdir(parents=True)
    with exclusive(paths.checkpoints / ".trainer.lock", wait=False):
        assert call("train", paths, tmp_path) == 75


def test_sigterm_before_the_first_step_ends_at_once() -> None:
    """An import is not waited for; a second signal does not cut the cleaning up."""
    code = (
        "import sys, os, signal; from runner.signals import Sigterm, Termination\n"
        "sigterm = Sigterm()\n"
        "with sigterm.installed():\n"
        "    try:\n        os.kill(os.getpid(), signal.SIGTERM); sys.exit(1)\n"
        "    except Termination:\n        os.kill(os.getpid(), signal.SIGTERM)\n"
        "sys.exit(75 if sigterm.received else 1)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 75


def test_a_second_sigterm_does_not_wait_for_the_steps_end() -> None:
    """The first is remembered while a step runs; the second ends the process there, and a third does not cut the cleaning up."""
    code = (
        "import sys, os, signal; from runner.signals import Sigterm, Termination\n"
        "def term(): os.kill(os.getpid(), signal.SIGTERM)\n"
        "sigterm = Sigterm()\n"
        "with sigterm.installed():\n"
        "    sigterm.patient = True\n"
        "    term()\n"
        "    if not sigterm.received: sys.exit(1)\n"
        "    try:\n        term(); sys.exit(2)\n"
        "    except Termination:\n        term()\n"
        "sys.exit(75)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 75


class TorchOutOfMemoryError(RuntimeError):
    """Named below as torch names its own."""


TorchOutOfMemoryError.__name__ = "OutOfMemoryError"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadSpec("a", "b"), 2),
        (Mismatch("a", "b"), 3),
        (TimeLimit("a", "b"), 5),
        (Stopped("a", "b"), 75),
        (MemoryError(), 4),
        (TorchOutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), 4),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"), 4),
        (OSError(errno.ENOSPC, "No space left on device"), 75),
        (OSError(errno.EIO, "Input/output error"), 75),
        (OSError(errno.ESTALE, "Stale file handle"), 75),
        (RuntimeError('Error while serializing: IoError(Os { code: 28, message: "No space left on device" })'), 75),
        (OSError("Can't load tokenizer for 'x'"), 1),
        (FileNotFoundError(errno.ENOENT, "No such file"), 1),
        (ValueError("Undefined dataset"), 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_each_exception_has_its_exit_code(tmp_path: Path, error: Exception, code: int) -> None:
    """What may succeed later is told from what will not."""
    assert failures.explain(error, make_paths(tmp_path)).exit_code == code


def test_the_cause_behind_an_exception_decides(tmp_path: Path) -> None:
    """LLaMA Factory and datasets wrap what happened."""
    wrapped = RuntimeError("An error occurred while generating the dataset")
    wrapped.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert isinstance(failures.explain(wrapped, make_paths(tmp_path)), Retry)


def test_out_of_memory_puts_the_measured_beside_the_estimated(tmp_path: Path) -> None:
    """So that a person sees which of the two was wrong."""
    failure = failures.explain(MemoryError(), make_paths(tmp_path))
    assert isinstance(failure, OutOfMemory)
    assert "measured" in failure.cause
    assert "estimated peak" in failure.cause
    assert failure.details["measured_bytes"] > 0
    assert failure.details["estimated_bytes"] > 0


def test_an_unknown_failure_keeps_its_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 1 prints where it happened; the other codes speak for themselves."""
    with pytest.raises(ValueError, match="invalid literal") as caught:
        int("what nobody expected")
    failure = failures.explain(caught.value, make_paths(tmp_path))
    failures.report(failure, caught.value, tmp_path)
    assert failure.exit_code == RunnerError.exit_code
    assert "Traceback" in capsys.readouterr().err
    assert json.loads((tmp_path / "failure.json").read_text(encoding="utf-8"))["cause"].startswith(
        "ValueError: invalid"
    )


def test_a_reader_that_went_away_does_not_end_the_run() -> None:
    """`ft run | head` must not kill a training."""
    code = "import os, sys; from runner.events import emit\nfor n in range(3): emit('progress', step=n)\nos._exit(7)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait() == 7


def test_events_are_strict_json() -> None:
    """A diverged loss is null, not NaN."""
    assert json.dumps(finite({"loss": float("nan"), "rates": [float("inf"), 1.0]}), allow_nan=False)


def test_progress_tells_percent_eta_and_speed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On stdout and in progress.json alike; a resumed run counts speed from where it resumed."""
    progress = Progress(tmp_path)
    progress.begin(10, 20, 1000)
    progress.rates = {"loss": 2.0}
    progress.step_ended()
    figures = progress.report(15, 0.5, 1500, {"memory_gib": 1.0})
    (event,) = events(capsys.readouterr().out)
    assert (event["event"], event["step"], event["steps"], event["loss"]) == ("progress", 15, 20, 2.0)
    assert (figures["percent"], figures["tokens"]) == (75.0, 1500)
    assert figures["tokens_per_second"] > 0
    assert figures["eta_seconds"] >= 0
    assert json.loads((tmp_path / "progress.json").read_text(encoding="utf-8"))["percent"] == 75.0


def test_the_trainers_own_averages_are_no_metrics() -> None:
    """They are of this process only, and so wrong after a resume."""
    logs = {
        "loss": 1.0,
        "eval_loss": 2,
        "train_runtime": 3.0,
        "train_loss": 0.1,
        "epoch": 1.0,
        "num_input_tokens_seen": 9,
    }
    assert metrics(logs) == {"loss": 1.0, "eval_loss": 2.0}


def test_datasets_reach_llama_factory_by_absolute_path(tmp_path: Path) -> None:
    """Columns and tags only where the manifest has some: an empty mapping would unset LLaMA Factory's own names."""
    paths = make_paths(tmp_path)
    info = trainer.dataset_info(paths)
    assert info == {"topics": {"file_name": str(paths.dataset(paths.lock.run.datasets[0])), "formatting": "alpaca"}}


def test_the_platform_owns_paths_and_resuming(tmp_path: Path) -> None:
    """Whatever the settings say; without a checkpoint LLaMA Factory must not look for one."""
    paths = make_paths(tmp_path, settings={"output_dir": "elsewhere", "report_to": "wandb"})
    arguments = trainer.arguments(paths, tmp_path, None)
    assert arguments["output_dir"] == str(paths.writing)
    assert arguments["save_total_limit"] is None
    assert arguments["report_to"] == "none"
    assert arguments["resume_from_checkpoint"] is False


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, 32),
        ({"max_samples": 10}, 10),
        ({"val_size": 0.1}, 28),
        ({"val_size": 5}, 27),
        ({"packing": True}, None),
        ({"stage": "pt"}, None),
        ({"stage": "pt", "packing": False}, 32),
        ({"streaming": True}, None),
    ],
)
def test_expected_rows_follow_the_settings(tmp_path: Path, settings: dict[str, object], expected: int | None) -> None:
    """None where rows are no longer what is counted."""
    assert rows.expected_rows(make_paths(tmp_path, settings=settings).lock) == expected
