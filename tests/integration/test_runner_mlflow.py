"""The spool, the run and the registry against a real MLflow: a SQLite store, and a server that is killed and started again."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from runner import registry, tracking
from runner.delivery import Delivery, read_record
from runner.provenance import tags
from runner.sender import Sender
from runner.spool import OFFSET, REJECTED, Spool
from runner.storage import Paths
from tests.faults.proxy import between
from tests.mlflow_server import WAIT, Server, until
from tests.runs import make_paths

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(find_spec("mlflow") is None, reason="needs the runner's environment"),
]
TABLES = (
    "runs", "params", "tags", "metrics", "latest_metrics", "datasets", "inputs", "registered_models", "model_versions",
    "model_version_tags", "registered_model_aliases",
)  # fmt: skip


@pytest.fixture
def store(empty_store: Path, tmp_path: Path) -> Path:
    """An own copy of the empty store."""
    return Path(shutil.copyfile(empty_store, tmp_path / "mlflow.db"))


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A run whose checkpoints folder is there."""
    made = make_paths(tmp_path)
    made.checkpoints.mkdir(parents=True)
    return made


def delivery(paths: Paths, store: Path) -> Delivery:
    """Deliver the run's spool to the store."""
    lock = paths.lock
    return Delivery(
        paths.checkpoints, lambda: tracking.client(f"sqlite:///{store}"), "team-a", lock.run_id, lock.sha256
    )


def dump(store: Path) -> dict[str, list[Any]]:
    """Every row that matters."""
    with sqlite3.connect(store) as connection:
        return {table: sorted(connection.execute(f"select * from {table}"), key=repr) for table in TABLES}


def history(store: Path, key: str) -> list[tuple[int, float]]:
    """Steps and values of a metric, by step."""
    with sqlite3.connect(store) as connection:
        return list(connection.execute("select step, value from metrics where key = ? order by step, timestamp", [key]))


def announce(paths: Paths, spool: Spool) -> None:
    """The entries that training begins with."""
    lock = paths.lock
    spool.append("status", status="RUNNING")
    spool.append("run", params=tracking.params(lock), tags=tags(lock), datasets=tracking.datasets(lock))


def metrics(spool: Spool, *steps: int) -> None:
    """One loss a step."""
    for step in steps:
        spool.append("metrics", step=step, values={"loss": 10.0 - step, "progress/percent": 10.0 * step})


def test_a_spool_becomes_one_run_with_everything(paths: Paths, store: Path) -> None:
    """Parameters, tags, dataset digests, metrics in order, status and times."""
    spool = Spool(paths.checkpoints)
    announce(paths, spool)
    metrics(spool, *range(1, 1201))  # more than MLflow takes in one batch
    spool.append("status", status="FINISHED")
    delivery(paths, store).deliver()
    rows = dump(store)
    assert len(rows["runs"]) == 1
    assert history(store, "loss") == [(step, 10.0 - step) for step in range(1, 1201)]
    sha256 = paths.lock.run.datasets[0].sha256
    with sqlite3.connect(store) as connection:
        assert dict(connection.execute("select key, value from params"))["lora_rank"] == "4"
        assert connection.execute("select status from runs").fetchone() == ("FINISHED",)
        ((name, digest, profile),) = connection.execute("select name, digest, dataset_profile from datasets")
        found = dict(connection.execute("select key, value from tags"))
    assert (name, digest, json.loads(profile)["sha256"]) == ("topics", sha256[:36], sha256)
    assert found["run_sha256"] == paths.lock.sha256
    assert found["dataset_sha256.topics"] == sha256
    assert read_record(paths.checkpoints)["mlflow_run_id"]


@pytest.mark.parametrize("lost", [True, False], ids=["offset-lost", "offset-kept"])
def test_delivering_again_changes_no_row(paths: Paths, store: Path, lost: bool) -> None:
    """Whether or not the note of what was sent survived."""
    spool = Spool(paths.checkpoints)
    announce(paths, spool)
    metrics(spool, 1, 2, 3)
    spool.append("status", status="FINISHED")
    delivery(paths, store).deliver()
    before = dump(store)
    if lost:
        (paths.checkpoints / OFFSET).unlink()
    delivery(paths, store).deliver()
    assert dump(store) == before


def test_repeated_steps_of_a_resumed_run_are_logged_once(paths: Paths, store: Path) -> None:
    """Killed at step 5 with a checkpoint at 3: steps 4 and 5 come twice, at other times, and stand once."""
    first = Spool(paths.checkpoints)
    announce(paths, first)
    metrics(first, 1, 2, 3, 4)
    delivery(paths, store).deliver()
    metrics(first, 5)  # not delivered before the kill
    first.close()
    time.sleep(0.01)
    second = Spool(paths.checkpoints)
    announce(paths, second)
    metrics(second, 4, 5, 6)
    delivery(paths, store).deliver()
    assert [step for step, _ in history(store, "loss")] == [1, 2, 3, 4, 5, 6]


def test_what_mlflow_never_takes_does_not_hold_up_the_rest(paths: Paths, store: Path) -> None:
    """A changed parameter is put aside with the reason; the metrics behind it arrive."""
    spool = Spool(paths.checkpoints)
    announce(paths, spool)
    spool.append("run", params={"lora_rank": "999"}, tags={}, datasets=[])
    spool.append("surprise")
    metrics(spool, 1)
    delivery(paths, store).deliver()
    assert history(store, "loss") == [(1, 9.0)]
    rejected = [json.loads(line) for line in (paths.checkpoints / REJECTED).read_text(encoding="utf-8").splitlines()]
    assert [entry["kind"] for entry in rejected] == ["run", "surprise"]


@pytest.fixture
def server(store: Path) -> Iterator[Server]:
    """A server that is not yet started."""
    made = Server(store)
    yield made
    made.kill()


def test_a_server_that_dies_and_comes_back_gets_everything_once(
    paths: Paths, store: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three times: metrics arrive while training runs; those that it missed are replayed by the sender or the next delivery."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    server.start()
    spool = Spool(paths.checkpoints)
    sender = Sender(paths, spool)
    announce(paths, spool)
    for step in (1, 3, 5):
        metrics(spool, step)
        until(lambda: len(history(store, "loss")) >= step)  # noqa: B023 - asked within its round
        server.kill()
        metrics(spool, step + 1)
        if step < 5:
            server.start()
    spool.append("status", status="FINISHED")
    assert not sender.finish(30)
    server.start()
    replay(paths, server.uri)
    assert [step for step, _ in history(store, "loss")] == [1, 2, 3, 4, 5, 6]
    assert len(dump(store)["runs"]) == 1


def replay(paths: Paths, uri: str) -> None:
    """What publish does: send all that is left."""
    lock = paths.lock
    rest = Delivery(paths.checkpoints, lambda: tracking.client(uri), "team-a", lock.run_id, lock.sha256)
    rest.deliver()
    assert rest.outbox.empty


@pytest.fixture(scope="module")
def steady(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    """A server that works, and its store, for all tests that put something in between."""
    store = Path(shutil.copyfile(empty_store, tmp_path_factory.mktemp("steady") / "mlflow.db"))
    made = Server(store)
    made.start()
    yield made, store
    made.kill()


@pytest.mark.parametrize("mode", ["hang", "refuse", "500", "429", "400", "lose-answer"])
def test_whatever_the_server_answers_each_step_is_there_once(
    tmp_path: Path, steady: tuple[Server, Path], monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """From the creation of the run on: nothing is lost, doubled or put aside, and the order stays."""
    server, store = steady
    paths = make_paths(tmp_path, experiment={"version": 1, "description": mode, "owner": "anna.nowak"})
    paths.checkpoints.mkdir(parents=True)
    spool = Spool(paths.checkpoints)
    announce(paths, spool)
    with between(server.uri) as proxy:
        lock = paths.lock
        sending = Delivery(
            paths.checkpoints, lambda: tracking.client(proxy.uri), f"mode-{mode}", lock.run_id, lock.sha256
        )
        for step in (1, 3):
            metrics(spool, step)
            proxy.mode = mode
            monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2" if mode == "hang" else "120")
            with pytest.raises(tracking.Unreachable):
                sending.deliver()
            assert proxy.seen[mode] > 0
            metrics(spool, step + 1)
            proxy.mode = "pass"
            monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "120")
            sending.deliver()
    assert not (paths.checkpoints / REJECTED).exists()
    with sqlite3.connect(store) as connection:
        found = connection.execute(
            "select m.step, count(*) from metrics m join tags t on t.run_uuid = m.run_uuid and t.key = 'run_sha256' "
            "where m.key = 'loss' and t.value = ? group by m.step order by min(m.timestamp), m.step", [lock.sha256],
        ).fetchall()  # fmt: skip
    assert found == [(1, 1), (2, 1), (3, 1), (4, 1)]


def test_the_sender_ends_with_the_trainer(paths: Paths, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trainer that is killed leaves no process behind."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}")
    sender = Sender(paths, Spool(paths.checkpoints))
    process = sender._process
    assert process.stdin is not None
    process.stdin.close()  # what the kernel does for a killed process
    assert process.wait(timeout=WAIT) == 1


def run_of(paths: Paths, store: Path) -> tuple[Any, str]:
    """A client, and the id of the run's MLflow run."""
    return tracking.client(f"sqlite:///{store}"), delivery(paths, store).run_id()


def test_registering_twice_changes_nothing(paths: Paths, store: Path) -> None:
    """One version with its tags, source and alias; the second call writes no row."""
    mlflow, run_id = run_of(paths, store)
    assert registry.register(mlflow, paths.lock, run_id) == 1
    before = dump(store)
    assert registry.register(mlflow, paths.lock, run_id) == 1
    assert dump(store) == before
    version = mlflow.get_model_version_by_alias("team-a.support", "candidate")
    assert version.source == f"pvc://team-a-training/storage/models/merged-model/support/{paths.lock.run_id}"
    assert version.run_id == run_id
    assert version.tags["dataset_sha256.topics"] == paths.lock.run.datasets[0].sha256


def test_candidate_moves_forward_and_never_back(tmp_path: Path, paths: Paths, store: Path) -> None:
    """Publishing the older run again leaves the alias with the newer one, and a hand-moved alias stays where it was put."""
    newer = make_paths(tmp_path, settings={"lora_rank": 8})
    mlflow, run_id = run_of(paths, store)
    registry.register(mlflow, paths.lock, run_id)
    registry.register(mlflow, newer.lock, run_id)
    registry.register(mlflow, paths.lock, run_id)
    assert int(mlflow.get_model_version_by_alias("team-a.support", "candidate").version) == 2
    mlflow.set_registered_model_alias("team-a.support", "candidate", "1")
    registry.register(mlflow, newer.lock, run_id)
    assert int(mlflow.get_model_version_by_alias("team-a.support", "candidate").version) == 1


def test_a_registration_cut_before_its_alias_is_finished_by_the_next(paths: Paths, store: Path) -> None:
    """The version was made, the process died: no second version, but the alias."""
    mlflow, run_id = run_of(paths, store)
    registry.register(mlflow, paths.lock, run_id)
    mlflow.delete_registered_model_alias("team-a.support", "candidate")
    mlflow.delete_model_version_tag("team-a.support", "1", registry.DONE_TAG)
    assert registry.register(mlflow, paths.lock, run_id) == 1
    assert int(mlflow.get_model_version_by_alias("team-a.support", "candidate").version) == 1
