"""A platform with authorized runs, and stand-ins for its API server and its MLflow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.platform_copy import ROOT, copy_platform
from tests.unit.cluster.standin import StandIn, kubeconfig, read, serving
from tools.cli import main
from tools.formats.lock import Lock
from tools.repository import Repository

SCENARIOS = ROOT / "tests" / "fixtures" / "cluster" / "status"


@dataclass
class Scene:
    """One platform, one API server, one MLflow, and how the commands reach them."""

    platform: Path
    api: StandIn
    mlflow: StandIn
    kubeconfig: Path

    def lock(self, name: str = "plain") -> Lock:
        """The lock of one of team A's runs in dev."""
        return Repository(self.platform).lock(f"overlays/dev/team-a/{name}/run.yaml")

    def happens(self, scenario: str, name: str = "plain") -> None:
        """Put a fixture's objects into the cluster."""
        self.api.objects += read(SCENARIOS / f"{scenario}.yaml", RUN=self.lock(name).run_id)

    def options(self) -> list[str]:
        """What every command line of a test ends with."""
        return ["--repo", str(self.platform), "--kubeconfig", str(self.kubeconfig), "--tracking-uri", self.mlflow.url]


@pytest.fixture(scope="session")
def authorized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fixture's platform with the overlays of all its experiments."""
    platform = copy_platform(tmp_path_factory.mktemp("status") / "platform")
    assert main(["expand", "--all", "--repo", str(platform)]) == 0
    return platform


@pytest.fixture
def scene(authorized: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """A cluster and an MLflow that know of nothing yet."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with ExitStack() as stack:
        api = stack.enter_context(serving(StandIn()))
        mlflow = stack.enter_context(serving(StandIn()))
        yield Scene(authorized, api, mlflow, kubeconfig(tmp_path, api.url))
