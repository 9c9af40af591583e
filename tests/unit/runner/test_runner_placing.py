"""models/merged-model/<model_name>/<run id> appears whole or not at all. Runs of method full: they need no LLaMA Factory."""

from __future__ import annotations

import os
import random
import resource
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runner import completion, merge, placing, staging
from runner.exits import Mismatch, Retry, RunnerError
from runner.storage import Paths
from tests.finished import finish
from tests.runs import make_paths, write_lock

PLACE = (
    "import sys; from pathlib import Path; from runner import completion, locks, placing; from runner.storage import Paths\n"
    "paths = Paths(Path(sys.argv[2]), locks.read(Path(sys.argv[1])))\n"
    "print('ready', flush=True)\n"
    "placing.place(paths, completion.check(paths).completion)"
)
MIB = 2**20


def finished(root: Path, extra_bytes: int = 0) -> Paths:
    """A finished run of method full."""
    paths = make_paths(root, settings={"finetuning_type": "full"})
    finish(paths, extra_bytes=extra_bytes)
    return paths


def place(paths: Paths) -> Path:
    """Place it in this process."""
    proof = completion.check(paths).completion
    assert proof is not None
    return placing.place(paths, proof)


def start(paths: Paths, root: Path) -> subprocess.Popen[bytes]:
    """Place it in a process of its own, which has its imports behind it when this returns."""
    lock = write_lock(paths.lock, root / "run.yaml")
    process = subprocess.Popen([sys.executable, "-c", PLACE, lock, paths.storage], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def entries(paths: Paths) -> set[str]:
    """What stands beside the published folder, itself included, less the lock file."""
    return {path.name for path in paths.merged.parent.glob("*")} - {placing.LOCK}


def test_a_finished_run_is_placed_with_its_record(tmp_path: Path) -> None:
    """All files of the model, readable for the server's UID, and publication.json over them."""
    paths = finished(tmp_path)
    folder = place(paths)
    assert folder == tmp_path / "storage" / "models" / "merged-model" / "support" / paths.lock.run_id
    assert (folder / "model.safetensors").read_bytes() == (paths.adapter / "model.safetensors").read_bytes()
    record = placing.verify(paths)
    assert record.run_sha256 == paths.lock.sha256
    assert record.tags["dataset_sha256.topics"] == paths.lock.run.datasets[0].sha256
    assert set(record.files) == {path.name for path in folder.iterdir()} - {placing.NAME}
    assert {"certificate.json", "README.md", "bom.cdx.json", "provenance.intoto.json"} < set(record.files)
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o444 == 0o444 for path in (folder, *folder.iterdir()))


def test_placing_twice_touches_nothing(tmp_path: Path) -> None:
    """Not even a time stamp."""
    paths = finished(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in [place(paths), *paths.merged.iterdir()]}
    place(paths)
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize("name", ["model.safetensors", "publication.json", "certificate.json"])
def test_a_changed_published_file_is_reported_and_left(tmp_path: Path, name: str) -> None:
    """The folder is immutable: a difference is somebody's act, not ours to repair."""
    paths = finished(tmp_path)
    file = place(paths) / name
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(Mismatch):
        place(paths)
    assert file.read_bytes() == data


def test_a_published_folder_of_another_run_is_left(tmp_path: Path) -> None:
    """Same eight digits, other hash."""
    paths = finished(tmp_path)
    file = place(paths) / placing.NAME
    placing.verify(paths).model_copy(update={"run_sha256": "0" * 64}).write(file)
    with pytest.raises(Mismatch, match="is of the run"):
        place(paths)


@pytest.mark.parametrize("step", ["start", "merge", "certify", "describe"])
def test_kill_9_leaves_nothing_half_placed(tmp_path: Path, step: str) -> None:
    """Killed soon after any of the steps, the folder is absent or valid; the next run goes on behind a finished merge."""
    paths = finished(tmp_path, extra_bytes=16 * MIB)
    process = start(paths, tmp_path)
    assert process.stdout is not None
    while step != "start" and f'"name": "{step}"' not in process.stdout.readline().decode():
        assert process.poll() is None
    process.kill()
    assert process.wait() < 0
    assert not paths.merged.exists() or placing.verify(paths)
    merged = [path.stat().st_ino for path in paths.merged.parent.glob(".staging-*/model/model.safetensors")]
    was_there = paths.merged.exists()
    place(paths)
    placing.verify(paths)
    assert entries(paths) == {paths.lock.run_id}
    if merged and step != "start" and not was_there:
        assert (paths.merged / "model.safetensors").stat().st_ino == merged[0]


def test_kill_9_at_random_moments(tmp_path: Path) -> None:
    """Whatever a kill leaves, the folder is absent or valid, and the last publisher ends with it and nothing else.

    SOAK_KILLS: how many times; `make soak` asks for 20.
    """
    paths = finished(tmp_path, extra_bytes=32 * MIB)
    generator = random.Random(5)
    process, begun = start(paths, tmp_path), time.monotonic()
    assert process.wait() == 0
    whole = time.monotonic() - begun  # undisturbed, on this machine
    shutil.rmtree(paths.merged)
    met = 0
    for _ in range(int(os.environ.get("SOAK_KILLS", "3"))):
        process, begun = start(paths, tmp_path), time.monotonic()
        try:
            process.wait(generator.uniform(0, whole))
            whole = time.monotonic() - begun  # faster than the one before, with its files in memory
        except subprocess.TimeoutExpired:
            process.kill()
            met += process.wait() < 0
        if paths.merged.exists():
            placing.verify(paths)
            shutil.rmtree(paths.merged)
    assert met  # a kill met the work itself
    place(paths)
    placing.verify(paths)
    assert entries(paths) == {paths.lock.run_id}


def test_a_damaged_staged_merge_is_made_again(tmp_path: Path) -> None:
    """A file of a finished merge that changed after its record was written is not trusted."""
    paths = finished(tmp_path)
    proof = completion.check(paths).completion
    assert proof is not None
    placing.stage(paths, proof)
    (staged,) = paths.merged.parent.glob(".staging-*/model/model.safetensors")
    data = bytearray(staged.read_bytes())
    data[-1] ^= 1
    staged.write_bytes(data)
    place(paths)
    assert (paths.merged / "model.safetensors").read_bytes() == (paths.adapter / "model.safetensors").read_bytes()
    assert entries(paths) == {paths.lock.run_id}


def test_without_file_locks_the_earlier_publisher_loses_its_folder(tmp_path: Path) -> None:
    """A staging folder is taken over by a rename, so that the other one's next write fails and nothing is mixed."""
    paths = finished(tmp_path)
    paths.merged.parent.mkdir(parents=True)
    earlier = staging.claim(paths)
    earlier.empty()
    later = staging.claim(paths)
    assert later.folder != earlier.folder
    assert later.model.is_dir()
    with pytest.raises(FileNotFoundError):
        (earlier.model / "model.safetensors").write_bytes(b"late")


def test_a_finished_merge_of_another_run_stays_and_an_unfinished_one_goes(tmp_path: Path) -> None:
    """Its retry needs the one; the other is worth nothing."""
    paths = finished(tmp_path)
    place(paths)
    whole, half = (paths.merged.parent / f".staging-exp-00{number}-0123abcd-00000000" for number in (7, 8))
    for folder in (whole, half):
        (folder / "model").mkdir(parents=True)
    (whole / "merged.json").write_text("{}")
    staging.claim(paths)
    assert whole.exists()
    assert not half.exists()


def test_a_model_that_the_training_did_not_change_is_refused(tmp_path: Path) -> None:
    """Nothing is published, and nothing of it stays."""
    paths = make_paths(tmp_path, settings={"finetuning_type": "full"})
    finish(paths, changed=False)
    with pytest.raises(Mismatch, match="no element differs from the base model"):
        place(paths)
    assert entries(paths) == set()


def test_two_publishers_at_once_make_one_folder(tmp_path: Path) -> None:
    """The second waits for the first and then finds its folder."""
    paths = finished(tmp_path, extra_bytes=16 * MIB)
    processes = [start(paths, tmp_path) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    placing.verify(paths)
    assert entries(paths) == {paths.lock.run_id}


def test_a_full_disk_leaves_nothing_and_the_next_run_succeeds(tmp_path: Path, small_disk: Path) -> None:
    """The staging folder goes, the message asks for space, and once there is some the same call works."""
    paths = finished(tmp_path, extra_bytes=3 * MIB)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(2 * MIB))
    (paths.storage / "models" / "merged-model").symlink_to(small_disk)
    with pytest.raises(Retry, match="no space left"):
        place(paths)
    assert entries(paths) == set()
    ballast.unlink()
    place(paths)
    placing.verify(paths)


def test_a_refused_write_leaves_nothing(tmp_path: Path) -> None:
    """A quota that stops a file in the middle: no staging folder stays behind."""
    paths = finished(tmp_path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            place(paths)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert entries(paths) == set()


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "model.safetensors"])
def test_an_incomplete_merge_is_not_placed(tmp_path: Path, name: str) -> None:
    """LLaMA Factory only warns when it cannot write the tokenizer."""
    paths = make_paths(tmp_path)
    (paths.base_model / name).unlink()
    with pytest.raises(RunnerError, match="missing after the merge"):
        merge.check(paths.base_model)


def test_a_truncated_tokenizer_is_not_placed(tmp_path: Path) -> None:
    """Half a JSON file would fail only in the server."""
    paths = make_paths(tmp_path)
    file = paths.base_model / "tokenizer.json"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(RunnerError, match="damaged after the merge"):
        merge.check(paths.base_model)
