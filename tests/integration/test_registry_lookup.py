"""`ft model add --from-registry` against databases and servers of real MLflow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mlflow_server import Server
from tools.errors import UsageError
from tools.models.registry import Version, by_alias, folder_of

pytestmark = pytest.mark.heavy
mlflow = pytest.importorskip("mlflow", reason="needs the runner's environment")

NAME = "team-a.support"
SOURCE = "pvc://team-a-training/storage/models/merged-model/support/exp-002-1a2b3c4d"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An SQLite registry with two versions, the second one `candidate`."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"
    client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
    client.create_registered_model(NAME)
    client.create_model_version(NAME, "pvc://team-a-training/storage/models/merged-model/support/exp-001-00000000")
    client.create_model_version(NAME, SOURCE, tags={"run_sha256": "ab" * 32, "base_model": "tiny"})
    client.set_registered_model_alias(NAME, "candidate", "2")
    return uri


@pytest.fixture(scope="module")
def server(database: str) -> Iterator[str]:
    """MLflow's own server over that database."""
    served = Server(Path(database.removeprefix("sqlite:///")))
    try:
        served.start()
        yield served.uri
    finally:
        served.kill()


@pytest.mark.parametrize("where", ["database", "server"])
def test_an_alias_leads_to_its_version(where: str, request: pytest.FixtureRequest) -> None:
    """Number, source and tags are those that MLflow's client wrote; file and server agree."""
    found = by_alias(request.getfixturevalue(where), NAME, "candidate")
    assert found == Version(2, SOURCE, {"run_sha256": "ab" * 32, "base_model": "tiny"})
    assert folder_of(found) == "models/merged-model/support/exp-002-1a2b3c4d"


@pytest.mark.parametrize("where", ["database", "server"])
@pytest.mark.parametrize("wanted", [(NAME, "champion"), ("team-b.other", "candidate")])
def test_what_is_not_registered_is_not_found(
    where: str, wanted: tuple[str, str], request: pytest.FixtureRequest
) -> None:
    """An unknown alias and an unknown model are wrong usage, not faults."""
    with pytest.raises(UsageError, match=f"has no {wanted[0]}@{wanted[1]}"):
        by_alias(request.getfixturevalue(where), *wanted)
