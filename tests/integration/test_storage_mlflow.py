"""The aliases that keep a model from `ft storage prune`, asked of MLflow's own server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.mlflow_server import Server, serving
from tools.storage.aliases import ask

mlflow = pytest.importorskip("mlflow", reason="needs the runner's environment")
pytestmark = [pytest.mark.heavy, pytest.mark.timeout(600)]
NAME = "team-a.support"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose model has three versions: of a run, of another one, and one that was registered by hand."""
    with serving(tmp_path_factory.mktemp("mlflow") / "store.db") as server:
        _register(mlflow.MlflowClient(server.uri))
        yield server


def _register(client: Any) -> None:
    client.create_registered_model(NAME)
    for number, run_id in enumerate(("old-0badc0de", "new-0badc0de", None), start=1):
        client.create_model_version(NAME, f"nfs://storage/{number}", tags={"run_id": run_id} if run_id else {})
    for alias, version in (("champion", "1"), ("candidate", "2"), ("shadow", "2")):
        client.set_registered_model_alias(NAME, alias, version)


def test_aliases_lead_to_the_runs(server: Server) -> None:
    """Each alias is found with the run of its version; a model that the registry does not have has none."""
    found = ask(server.uri, [NAME, "team-a.never-registered"])
    assert {run_id: sorted(aliases) for run_id, aliases in found.of.items()} == {
        "old-0badc0de": ["champion"],
        "new-0badc0de": ["candidate", "shadow"],
    }
    assert found.unknown == []


def test_an_alias_of_a_version_without_a_run_is_not_known(server: Server) -> None:
    """What was registered by hand may be any folder, and the answer says so."""
    client = mlflow.MlflowClient(server.uri)
    client.set_registered_model_alias(NAME, "by-hand", "3")
    assert ask(server.uri, [NAME]).unknown == [f"{NAME}: the alias by-hand points to a version that names no run"]
    client.delete_registered_model_alias(NAME, "by-hand")


def test_a_server_that_is_gone_is_not_known() -> None:
    """Nobody listens there: the reason comes with how to log in and where else to ask."""
    [why] = ask("http://127.0.0.1:9", [NAME, "team-a.other"]).unknown
    assert "does not answer" in why
    assert "--tracking-uri" in why
