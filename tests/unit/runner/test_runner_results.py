"""completion.json and checkpoint manifests: what counts as finished, and what is resumed from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runner import checkpoints, completion, result
from runner.budget import Budget
from runner.exits import Mismatch, RunnerError
from runner.progress import summary
from runner.records import read
from runner.storage import Paths
from tests.finished import finish
from tests.runs import make_paths


def flip(file: Path) -> None:
    """Change one bit in the middle of a file."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def checkpoint(paths: Paths, step: int) -> Path:
    """A kept checkpoint with two files."""
    folder = paths.writing / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(bytes(range(256)))
    (folder / "optimizer.pt").write_bytes(bytes(256))
    return checkpoints.keep(folder, paths.checkpoints, paths.lock.sha256)


def test_a_finished_run_is_recognised(tmp_path: Path) -> None:
    """The proof names steps, rows, metrics, versions and every file but itself."""
    paths = make_paths(tmp_path)
    finish(paths)
    proof = completion.check(paths).completion
    assert proof is not None
    assert (proof.steps_done, proof.steps_planned, proof.rows_trained) == (6, 6, 32)
    assert set(proof.files) == {path.name for path in paths.adapter.iterdir()} - {completion.NAME}
    assert proof.metrics["loss"] == 1.0


def test_neither_optimizer_nor_pickles_are_in_the_result(tmp_path: Path) -> None:
    """Only what a person can use and publish."""
    paths = make_paths(tmp_path)
    for name in ("training_args.bin", "trainer_state.json", "trainer_log.jsonl", ".hidden"):
        paths.writing.mkdir(parents=True, exist_ok=True)
        (paths.writing / name).write_text("x", encoding="utf-8")
    checkpoint(paths, 6)
    finish(paths)
    names = {path.name for path in paths.adapter.iterdir()}
    assert names == {"adapter_model.safetensors", "adapter_config.json", "completion.json"}


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json", "completion.json"])
def test_one_flipped_bit_makes_the_proof_void(tmp_path: Path, name: str) -> None:
    """Whatever file it is in, the record itself included."""
    paths = make_paths(tmp_path)
    finish(paths)
    flip(paths.adapter / name)
    assert completion.check(paths).completion is None


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The verdict says which."""
    paths = make_paths(tmp_path)
    finish(paths)
    (paths.adapter / "adapter_config.json").unlink()
    assert "adapter_config.json: missing" in completion.check(paths).reason


def test_a_folder_of_another_run_is_never_taken(tmp_path: Path) -> None:
    """Eight equal digits are no identity: the full hash is compared."""
    paths = make_paths(tmp_path)
    finish(paths)
    file = paths.adapter / completion.NAME
    proof = read(completion.Completion, file)
    proof.model_copy(update={"run_sha256": proof.run_sha256[:8] + "0" * 56}).write(file)
    verdict = completion.check(paths)
    assert verdict.completion is None
    assert verdict.foreign


def test_a_damaged_result_is_kept_aside_when_it_is_made_again(tmp_path: Path) -> None:
    """The new folder takes the place; nothing is deleted."""
    paths = make_paths(tmp_path)
    finish(paths)
    flip(paths.adapter / "adapter_config.json")
    finish(paths)
    assert completion.check(paths).completion is not None
    assert len(list(paths.adapter.parent.glob(".*.damaged-*"))) == 1


def test_leftovers_of_a_killed_end_are_cleared(tmp_path: Path) -> None:
    """A folder half gathered by an earlier process is removed, the finished one is whole."""
    paths = make_paths(tmp_path)
    leftover = paths.adapter.with_name(f".{paths.lock.run_id}.tmp-1")
    leftover.mkdir(parents=True)
    finish(paths)
    assert [path.name for path in paths.adapter.parent.iterdir()] == [paths.lock.run_id]


def test_a_run_without_weights_has_not_finished(tmp_path: Path) -> None:
    """LLaMA Factory may end without an error and without a model."""
    paths = make_paths(tmp_path)
    paths.writing.mkdir(parents=True)
    with pytest.raises(RunnerError, match="left no weights"):
        result.gather(paths)


def test_the_newest_checkpoint_is_resumed_from(tmp_path: Path) -> None:
    """By number: 10 comes after 9."""
    paths = make_paths(tmp_path)
    checkpoint(paths, 9)
    assert checkpoints.newest(checkpoint(paths, 10).parent, paths.lock.sha256) == paths.checkpoints / "checkpoint-10"


def test_a_folder_without_manifest_is_no_checkpoint(tmp_path: Path) -> None:
    """It is removed: this runner never leaves one."""
    paths = make_paths(tmp_path)
    good = checkpoint(paths, 2)
    (checkpoint(paths, 4) / "manifest.json").unlink()
    assert checkpoints.newest(paths.checkpoints, paths.lock.sha256) == good
    assert not (paths.checkpoints / "checkpoint-4").exists()


@pytest.mark.parametrize("name", ["optimizer.pt", "manifest.json"])
def test_a_damaged_checkpoint_is_kept_aside_and_the_one_before_is_used(tmp_path: Path, name: str) -> None:
    """A flipped bit costs the steps since the checkpoint before."""
    paths = make_paths(tmp_path)
    good = checkpoint(paths, 2)
    flip(checkpoint(paths, 4) / name)
    assert checkpoints.newest(paths.checkpoints, paths.lock.sha256) == good
    assert (paths.checkpoints / "damaged-checkpoint-4").is_dir()


def test_checkpoints_of_another_run_stop_the_run(tmp_path: Path) -> None:
    """LLaMA Factory would resume from them without a word."""
    paths = make_paths(tmp_path)
    checkpoint(paths, 2)
    with pytest.raises(Mismatch, match="is of the run"):
        checkpoints.newest(paths.checkpoints, "0" * 64)


def test_no_checkpoint_means_a_start_from_the_beginning(tmp_path: Path) -> None:
    """Other folders are left alone."""
    (tmp_path / "runs").mkdir()
    assert checkpoints.newest(tmp_path, "0" * 64) is None


def test_the_time_limit_counts_over_restarts_and_starts_anew_with_an_attempt(tmp_path: Path) -> None:
    """Two processes of one attempt share the limit; a second attempt has its own, and the total has all."""
    (tmp_path / "time-used.json").write_text(
        json.dumps({"attempt": 1, "seconds": 50.0, "earlier": 0.0, "since": "2026-01-01T00:00:00+00:00"}),
        encoding="utf-8",
    )
    again, anew = Budget(tmp_path, 1, 50), Budget(tmp_path, 2, 50)
    assert (again.exhausted, anew.exhausted) == (True, False)
    assert anew.total >= 50
    anew.save()
    assert json.loads((tmp_path / "time-used.json").read_text(encoding="utf-8"))["attempt"] == 2
    assert Budget(tmp_path, 2, 50).since == "2026-01-01T00:00:00+00:00"


def test_a_damaged_count_starts_again(tmp_path: Path) -> None:
    """A run is not lost over its clock."""
    (tmp_path / "time-used.json").write_text("{", encoding="utf-8")
    assert not Budget(tmp_path, 1, 50).exhausted


def test_a_mean_loss_counts_the_steps_between_logs() -> None:
    """Two steps at 3 and one at 0 are 2 on average, whatever the trainer's own figure says."""
    history = [{"step": 2, "loss": 3.0}, {"step": 3, "loss": 0.0}, {"step": 3, "train_loss": 9.0, "train_runtime": 1.0}]
    assert summary(history) == {"loss": 0.0, "train_loss": 2.0}
    assert summary([{"step": 1, "loss": float("nan")}]) == {"loss": None, "train_loss": None}
