"""What `ft status` reads from a real MLflow server is what the runner wrote there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runner import registry, tracking
from tests.mlflow_server import serving
from tests.runs import make_paths
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
