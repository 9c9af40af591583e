"""The merge inside `publish`: what it reads must be what was locked and what was trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner import completion, merge, result
from runner.budget import Budget
from runner.exits import Mismatch
from runner.hashing import names_in, record
from runner.storage import Paths
from tests.adapters import write_adapter
from tests.finished import State
from tests.runs import make_paths

pytestmark = pytest.mark.heavy


@pytest.fixture
def run(tmp_path: Path) -> Paths:
    """A finished run with an adapter."""
    paths = make_paths(tmp_path)
    write_adapter(paths.writing)
    budget = Budget(paths.checkpoints, paths.lock.attempt, 3600)
    result.complete(paths, result.gather(paths), State(), 32, budget)
    (tmp_path / "folder").mkdir()
    return paths


def build(run: Paths, folder: Path) -> merge.MergeReport:
    """Build it with the run's own proof, as it was written at the training's end."""
    proof = completion.read(completion.Completion, run.adapter / completion.NAME)
    report = merge.build(run, proof, folder)
    assert report is not None
    return report


def test_the_report_has_the_locks_hashes_and_those_of_all_files(run: Paths, tmp_path: Path) -> None:
    """They are computed while the bytes pass, and are those of the files."""
    report = build(run, tmp_path / "folder")
    assert report.base.items() <= {name: file.sha256 for name, file in run.lock.run.model.files.items()}.items()
    assert "model.safetensors" in report.base
    assert report.result == record(tmp_path / "folder", names_in(tmp_path / "folder"))
    assert len(report.changes) == 4
    assert all(change.changed and change.norm > 0 for change in report.changes.values())


@pytest.mark.parametrize(
    "place", ["base_model/model.safetensors", "base_model/config.json", "adapter/adapter_model.safetensors"]
)
def test_another_base_or_adapter_than_the_locked_is_refused(run: Paths, tmp_path: Path, place: str) -> None:
    """One bit in a tensor that the adapter does not even touch, one blank in the configuration, one bit in the adapter."""
    folder, name = place.split("/")
    file = getattr(run, folder) / name
    data = bytearray(file.read_bytes())
    if name.endswith(".json"):
        data += b" "
    else:
        data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(Mismatch, match=f"{name}: sha256 is"):
        build(run, tmp_path / "folder")
