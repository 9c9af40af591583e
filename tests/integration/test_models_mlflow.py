"""`ft models` and the moving of an alias against a real MLflow server with versions that the runner registered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner import registry, tracking
from tests.mlflow_server import serving
from tests.promoting import platform
from tools.cli import main
from tools.formats.evaluation import TAG
from tools.formats.lock import Lock
from tools.models.versions import CHAMPION, Versions
from tools.repository import Repository

pytestmark = pytest.mark.heavy
NAME = "team-a.topic-sorter"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An empty MLflow."""
    with serving(tmp_path_factory.mktemp("mlflow") / "mlflow.db") as server:
        yield server.uri


def register(uri: str, lock: Lock, rate: float) -> int:
    """A version as `publish` registers it, with a run behind it."""
    client = tracking.client(uri)
    run = tracking.Run(client, lock.run.mlflow.experiment, lock.run_id, lock.sha256)
    run.send([{"kind": "metrics", "step": 6, "timestamp": 1_700_000_000_000, "values": {"loss": rate}}])
    client.log_param(run.id, "learning_rate", str(rate))
    return registry.register(client, lock, run.id, None, {TAG: "passed", "publication_sha256": "c3" * 32})


def test_versions_aliases_and_differences_are_read_back(
    server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The list has every version with alias and evaluation; the comparison has metrics, data and parameters; aliases move and go."""
    root = tmp_path / "platform"
    first, _ = platform(root)
    lock = Repository(root).lock("overlays/dev/team-a/exp-001/run.yaml")
    other = lock.model_copy(update={"sha256": "4" * 64})
    numbers = [register(server, lock, 0.5), register(server, other, 0.25)]
    mlflow = Versions(server)
    mlflow.point(NAME, CHAMPION, numbers[0])
    asked = ["--tracking-uri", server, "--repo", str(root)]
    capsys.readouterr()
    assert main(["models", "team-a", "--format", "json", *asked]) == 0
    listed = {each["version"]: each for each in json.loads(capsys.readouterr().out)}
    assert {number: each["aliases"] for number, each in listed.items()} == {
        numbers[0]: [CHAMPION],
        numbers[1]: [registry.ALIAS],
    }
    assert {each["evaluation"] for each in listed.values()} == {"passed"}
    assert listed[numbers[0]]["run_id"] == first.run_id
    assert (
        main(["models", "compare", f"{NAME}@{CHAMPION}", f"{NAME}:{numbers[1]}", "--all", "--format", "json", *asked])
        == 0
    )
    rows = {(row["part"], row["name"]): row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert (rows["metrics", "loss"]["one"], rows["metrics", "loss"]["other"]) == ("0.5", "0.25")
    assert rows["parameters", "learning_rate"]["differs"]
    assert not rows["data", "customer-topics"]["differs"]
    assert rows["cost", "GPU-hours, measured"]["one"] == "1.5"
    mlflow.point(NAME, CHAMPION, None)
    assert all(CHAMPION not in version.aliases for version in mlflow.of_model(NAME))
    assert mlflow.of_model("team-a.never") == []
