"""MLflow's database in a file: whole or not there."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from runner import localstore, tracking

pytestmark = pytest.mark.heavy

KILLS = 6


def _forked(uri: str) -> int:
    """A process that makes the database; MLflow is imported already."""
    child = os.fork()
    if child == 0:
        try:
            localstore.prepare(uri)
            os._exit(0)
        finally:
            os._exit(1)
    return child


def test_killed_at_random_moments_it_is_whole_or_absent(tmp_path: Path) -> None:
    """Whenever the process that makes it is killed, the next one can work with what is there, and nothing else lies about."""
    import mlflow.store.tracking.sqlalchemy_store
    import mlflow.tracking

    assert mlflow.store.tracking.sqlalchemy_store
    chance, file = random.Random(3), tmp_path / "folder" / "mlflow.db"
    uri = f"sqlite:///{file}"
    for _ in range(KILLS):
        file.unlink(missing_ok=True)
        child = _forked(uri)
        time.sleep(chance.uniform(0.0, 1.0))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    tracking.client(uri).create_experiment("after the kills")
    assert [each.name for each in tracking.client(uri).search_experiments()] == ["after the kills", "Default"]
    for left in file.parent.glob(".*"):
        os.utime(left, (0, 0))
    file.unlink()
    localstore.prepare(uri)
    assert list(file.parent.iterdir()) == [file]


def test_one_that_is_there_stays_and_a_servers_address_makes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is made twice, and nothing for a server."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "mlflow.db"
    localstore.prepare(f"sqlite:///{file}")
    before = file.stat()
    localstore.prepare(f"sqlite:///{file}")
    localstore.prepare("http://127.0.0.1:9")
    assert file.stat().st_ino == before.st_ino
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    assert list(tmp_path.iterdir()) == [file]


def test_of_three_at_once_all_work_with_one(tmp_path: Path) -> None:
    """None takes away what another has already written to."""
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    children = [_forked(uri) for _ in range(3)]
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert codes == [0, 0, 0]
    assert [each.name for each in tmp_path.iterdir()] == ["mlflow.db"]
    assert tracking.client(uri).get_experiment_by_name("Default") is not None
