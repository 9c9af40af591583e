"""`ft storage prune`: removes what may go and nothing else, also when it is killed, held up or tricked meanwhile."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.platform_copy import ROOT, tree
from tests.unit.storage.conftest import Place
from tools.cli import main
from tools.storage.removal import PUBLISH_LOCK, TRAINER_LOCK


def old_checkpoints(place: Place, number: int = 0) -> Path:
    """Checkpoints that may go."""
    return place.holds(f"output/checkpoints/{place.run(f'done-{number}', ended_days_ago=30)}")


def records(place: Place) -> list[dict[str, Any]]:
    """The deletion record."""
    lines = (place.storage / "removals.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines if line]


def test_without_yes_nothing_changes(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """A dry run names what would go, with its size and reason."""
    folder = old_checkpoints(place)
    before = tree(place.storage)
    assert main(place.call("prune")) == 0
    out = capsys.readouterr().out
    assert f'would remove "{folder.relative_to(place.storage)}"' in out
    assert "nothing was removed: add --yes" in out
    assert tree(place.storage) == before


def test_with_yes_it_goes_and_leaves_a_record(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """The folder is gone, what stays is untouched, and the record says what, whose, how much, why and when."""
    folder, kept = old_checkpoints(place), place.holds("output/checkpoints/somebody-0badc0de")
    assert main(place.call("prune", "--yes")) == 0
    assert f'removed "{folder.relative_to(place.storage)}"' in capsys.readouterr().out
    assert not folder.exists()
    assert sorted(path.name for path in folder.parent.iterdir()) == [kept.name]
    before, after = records(place)
    assert (before["action"], after["action"]) == ("removing", "removed")
    assert (before["run_id"], before["kind"], before["tenant"]) == (folder.name, "checkpoints", "team-a")
    assert before["bytes"] > 10_000
    assert "kept for 7d" in before["reason"]
    assert main(place.call("prune", "--yes")) == 0
    assert len(records(place)) == 2


def test_links_inside_are_removed_and_not_followed(place: Place, tmp_path: Path) -> None:
    """What a link in a folder leads to is nobody's business."""
    outside = tmp_path / "precious"
    outside.mkdir()
    (outside / "file").write_text("stays")
    folder = old_checkpoints(place)
    (folder / "to-a-folder").symlink_to(outside)
    (folder / "to-a-file").symlink_to(outside / "file")
    os.mkfifo(folder / "pipe")
    place.age(folder)
    assert main(place.call("prune", "--yes")) == 0
    assert not folder.exists()
    assert (outside / "file").read_text() == "stays"


def test_a_folder_that_is_swapped_for_a_link_meanwhile_is_left(place: Place, tmp_path: Path) -> None:
    """A pod that puts a link in the place of a folder, or of the one above it, between look and removal gains nothing."""
    from tools.repository import Repository
    from tools.storage import prune
    from tools.storage.survey import look

    folder = old_checkpoints(place)
    survey = look(Repository(place.platform), "team-a", None, place.storage, place.mlflow.url)
    victim = tmp_path / "victim"
    shutil.copytree(folder, victim / folder.name)
    folder.parent.rename(place.storage / "output" / "moved")
    folder.parent.symlink_to(victim)
    failures: list[str] = []
    list(prune.carry_out(survey, failures))
    assert (victim / folder.name / "model.safetensors").is_file()
    assert "a link or a file stands in the place of a folder" in failures[0]


@pytest.mark.parametrize(("kind", "name"), [("checkpoints", TRAINER_LOCK), ("staging", PUBLISH_LOCK)])
def test_what_a_process_works_on_stays(place: Place, kind: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever git says: a lock of the runner that is held keeps its folder, and exit code 1 says so."""
    folder, lock = old_checkpoints(place), Path()
    if kind == "staging":
        shutil.rmtree(folder)
        folder = place.holds(f"models/merged-model/support/.staging-{folder.name}-0a1b2c3d")
        lock = folder.parent / name
    else:
        lock = folder / name
    lock.touch()
    place.age(folder)
    with lock.open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert main(place.call("prune", "--yes")) == 1
        assert "a process holds" in capsys.readouterr().out
        assert (folder / "model.safetensors").is_file()
    assert main(place.call("prune", "--yes")) == 0
    assert not folder.exists()


def test_the_names_of_the_locks_are_the_runners() -> None:
    """Who writes there and who removes there take the same locks."""
    from runner import placing, result

    assert (TRAINER_LOCK, PUBLISH_LOCK) == (result.LOCK, placing.LOCK)


def test_killed_at_any_moment_it_leaves_whole_folders_or_named_leftovers(place: Place) -> None:
    """Kill -9 again and again: every run's folder is whole, or renamed and finished by the next prune; the record is complete."""
    folders = [old_checkpoints(place, number) for number in range(12)]
    for folder in folders:
        for number in range(300):
            (folder / "inner" / f"{number}.bin").write_bytes(b"x")
        place.age(folder)
    whole = {folder: tree(folder) for folder in folders}
    command = [sys.executable, "-c", "from tools.cli import entry_point; entry_point()", *place.call("prune", "--yes")]
    cut_off = 0
    while cut_off < 6:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before = len(list((place.storage / "output/checkpoints").iterdir()))
        while process.poll() is None and len(list((place.storage / "output/checkpoints").iterdir())) == before:
            time.sleep(0.001)  # until the first folder is gone
        process.send_signal(signal.SIGKILL)
        process.wait()
        cut_off += 1
        for folder in folders:
            assert not folder.exists() or tree(folder) == whole[folder]
    assert main(place.call("prune", "--yes")) == 0
    assert list((place.storage / "output/checkpoints").iterdir()) == []
    assert {entry["run_id"] for entry in records(place)} == {folder.name for folder in folders}


def test_two_prunes_do_not_meet(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """The second one ends at once and says why."""
    old_checkpoints(place)
    with (place.storage / "removals.jsonl").open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert main(place.call("prune", "--yes")) == 3
    assert "another prune is at work" in capsys.readouterr().err


def test_no_record_no_removal(place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A record that cannot be kept, here because a link stands in its place, ends the prune before anything goes."""
    folder = old_checkpoints(place)
    (place.storage / "removals.jsonl").symlink_to(tmp_path / "elsewhere")
    assert main(place.call("prune", "--yes")) == 3
    assert "nothing is removed without a record" in capsys.readouterr().err
    assert folder.is_dir()
    assert not (tmp_path / "elsewhere").exists()


def test_json_lists_what_went(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """The parts that were, or would be, removed, for scripts."""
    folder = old_checkpoints(place)
    capsys.readouterr()
    assert main(place.call("prune", "--format", "json")) == 0
    assert [part["run_id"] for part in json.loads(capsys.readouterr().out)["would_remove"]] == [folder.name]
    assert main(place.call("prune", "--yes", "--format", "json")) == 0
    assert [part["run_id"] for part in json.loads(capsys.readouterr().out)["removed"]] == [folder.name]
