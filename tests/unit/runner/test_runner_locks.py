"""Reading the lock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from runner import locks
from runner.exits import BadSpec
from tests.runs import make_paths, write_lock


def test_a_sealed_lock_is_read_as_it_was_written(tmp_path: Path) -> None:
    """What `ft expand` writes is what the runner reads."""
    lock = make_paths(tmp_path).lock
    assert locks.read(write_lock(lock, tmp_path / "run.yaml")) == lock


def test_a_mounted_configmap_is_read_through_its_links(tmp_path: Path) -> None:
    """Kubernetes shows run.yaml as a link to ..data/run.yaml, and ..data as a link to a dated folder."""
    lock = make_paths(tmp_path).lock
    dated = tmp_path / "..2026_11_23"
    dated.mkdir()
    write_lock(lock, dated / "run.yaml")
    (tmp_path / "..data").symlink_to(dated.name)
    (tmp_path / "run.yaml").symlink_to("..data/run.yaml")
    assert locks.read(tmp_path / "run.yaml") == lock


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("lora_rank: 4", "lora_rank: 8"), "changed after sealing"),
        (lambda text: text.replace("run_id: exp-001-", "run_id: exp-002-"), "changed after sealing"),
        (lambda text: text.replace("tenant: team-a", "tenant: team-b"), "changed after sealing"),
        (lambda text: text.replace("state: active", "state: cancelled"), "state is cancelled; allowed: active"),
        (lambda text: text.replace("attempt: 1", "attempt: one"), "attempt is"),
        (lambda text: text + "surplus: 1\n", 'unknown key "surplus"'),
        (lambda _: "", "an empty file"),
        (lambda _: "[", "not valid YAML"),
    ],
    ids=["settings", "run-id", "tenant", "cancelled", "type", "key", "empty", "syntax"],
)
def test_a_lock_that_may_not_run_is_refused(tmp_path: Path, change: Callable[[str], str], message: str) -> None:
    """Anything but an untouched, active lock ends with exit code 2 and says what is wrong."""
    file = write_lock(make_paths(tmp_path).lock, tmp_path / "run.yaml")
    file.write_text(change(file.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(BadSpec, match=message):
        locks.read(file)


def test_a_missing_lock_is_refused(tmp_path: Path) -> None:
    """A path with nothing behind it is exit code 2 as well, not a traceback."""
    with pytest.raises(BadSpec, match="cannot be read"):
        locks.read(tmp_path / "run.yaml")
