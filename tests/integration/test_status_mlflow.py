"""What `ft status` reads from a real MLflow server is what the runner wrote there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runner import registry, tracking
from tests.mlflow_server import serving
from tests.runs import make_paths
from tools.bot.upkeep.told import Asked, Told, told
from tools.cluster.tracking import Tracking
from tools.formats.lock import Lock

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An empty MLflow."""
    with serving(tmp_path_factory.mktemp("mlflow") / "mlflow.db") as server:
        yield server.uri


@pytest.fixture
def lock(tmp_path: Path) -> Lock:
    """A run that publishes."""
    return make_paths(tmp_path).lock


def test_progress_and_version_are_read_back(server: str, lock: Lock) -> None:
    """Nothing before the run exists; then percent, time left and loss of the last step; at the end the version."""
    assert Tracking(server).of(lock) is None
    client = tracking.client(server)
    run = tracking.Run(client, lock.run.mlflow.experiment, lock.run_id, lock.sha256)
    values = {"loss": 1.25, "progress/percent": 50.0, "progress/eta_seconds": 90.0}
    entry = {"kind": "metrics", "step": 4, "timestamp": 1_700_000_000_000, "values": values}
    run.send([entry])
    run.send([{"kind": "tags", "tags": {"attempt": "2"}}])
    found = Tracking(server).of(lock)
    assert found is not None
    assert (found.percent, found.eta_seconds, found.loss) == (50.0, 90.0, 1.25)
    assert (found.run_id, found.attempt, found.updated) == (run.id, 2, 1_700_000_000.0)
    assert found.version is None
    number = registry.register(client, lock, run.id)
    found = Tracking(server).of(lock)
    assert found is not None
    assert found.version == number


def test_an_outcome_reads_back_what_the_runner_logged(server: str, lock: Lock) -> None:
    """Memory, utilisation, tokens and pace by the names that runner/callback.py gives them; an earlier attempt's utilisation aside."""
    assert Tracking(server).run_of(lock.run.mlflow.experiment, "0" * 64) is None
    run = tracking.Run(tracking.client(server), lock.run.mlflow.experiment, lock.run_id, lock.sha256)
    began = 1_700_000_000
    for step, busy in ((5, 0.0), (10, 60.0), (20, 80.0)):
        progress = {
            "percent": step * 4.0, "gpu_memory_gib": 2.0 + step / 10, "gpu_utilisation_percent": busy,
            "tokens": step * 100, "seconds_per_step": 36.0,
        }  # fmt: skip
        values = {f"progress/{name}": float(value) for name, value in progress.items()}
        run.send([{"kind": "metrics", "step": step, "timestamp": (began + step) * 1000, "values": values}])
    mlflow_run = Tracking(server).run_of(lock.run.mlflow.experiment, lock.sha256)
    assert mlflow_run == run.id
    asked = Asked(run.id, gpus=1, since=began + 10, most_hours=1.0, finished=True)
    assert told(Tracking(server), asked) == Told(4 << 30, 0.3, 2000, 0.25)
