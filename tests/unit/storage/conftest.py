"""A tenant's storage and a platform in git beside it: runs of every age and state, a served model, a registry that answers."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests import audited
from tests.platform_copy import copy_platform
from tests.unit.cluster.standin import StandIn, serving
from tools.cli import main
from tools.expand import audit
from tools.formats.audit import Audit
from tools.formats.lock import seal
from tools.repository import Repository

_API = "/api/2.0/mlflow/"
OLD = 3 * 86400  # age of every file in seconds: no run of the tests is being written


@dataclass
class Place:
    """The platform, the storage and MLflow."""

    platform: Path
    storage: Path
    mlflow: StandIn

    def run(self, name: str, *, ended_days_ago: int, result: str = "finished", version: int | None = 1) -> str:
        """A run whose overlay was retired (or removed, where it did not finish); its run id."""
        lock = Repository(self.platform).lock(f"{audited.PLAIN}/run.yaml")
        made = seal(lock.run.model_copy(update={"name": name}), attempt=1, state="active", authorized=lock.authorized)
        at = (datetime.now(UTC) - timedelta(days=ended_days_ago)).strftime("%Y-%m-%dT%H:%M:%SZ")
        outcome = audited.outcome(result, version=version if result == "finished" else None, at=at)  # type: ignore[arg-type]
        record = audited.record(made, outcome, at=at)
        self.record(record.model_copy(update={"retired_at": at if result == "finished" else None}))
        return made.run_id

    def record(self, found: Audit) -> None:
        """Put an audit record into the repository."""
        path = self.platform / found.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(audit.content(found))

    def holds(self, path: str, size: int = 5000) -> Path:
        """A folder of the storage with a file, and one more in a folder in it."""
        folder = self.storage / path
        for file in (folder / "model.safetensors", folder / "inner" / "state.json"):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"x" * size)
        self.age(folder)
        return folder

    def model(self, run_id: str, name: str = "support") -> Path:
        """A published model of a run."""
        return self.holds(f"models/merged-model/{name}/{run_id}")

    def age(self, folder: Path) -> None:
        """Let nobody have written there for days."""
        moment = datetime.now(UTC).timestamp() - OLD
        for path in [folder, *folder.rglob("*")]:
            os.utime(path, (moment, moment), follow_symlinks=False)

    def alias(self, alias: str, run_id: str | None, name: str = "support") -> None:
        """Let the registry have an alias of the model."""
        tags = [{"key": "run_id", "value": run_id}] if run_id else []
        model = {"name": f"team-a.{name}", "aliases": [{"alias": alias, "version": "3"}]}
        self.mlflow.answers[f"{_API}registered-models/get"] = {"registered_model": model}
        self.mlflow.answers[f"{_API}model-versions/get"] = {"model_version": {"version": "3", "tags": tags}}

    def commit(self) -> None:
        """Commit what the platform's folder holds."""
        who = ["-c", "user.name=Bot", "-c", "user.email=bot@bank.example", "-c", "commit.gpgsign=false"]
        for arguments in (["add", "-A"], ["commit", "-q", "--allow-empty", "-m", "state"]):
            subprocess.run(["git", *who, *arguments], cwd=self.platform, check=True)

    def call(self, action: str, *options: str) -> list[str]:
        """The command line."""
        given = ["--storage", str(self.storage), "--repo", str(self.platform), "--tracking-uri", self.mlflow.url]
        return ["storage", action, "team-a", *given, *options]

    def report(self, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
        """The report's JSON, with `parts` of all runs by path."""
        capsys.readouterr()
        main(self.call("report", "--format", "json"))
        data: dict[str, Any] = json.loads(capsys.readouterr().out)
        every = [*data["others"], *(part for run in data["runs"] for part in run["parts"])]
        return data | {"parts": {part["path"]: part for part in every}}

    def reason(self, capsys: pytest.CaptureFixture[str], folder: Path) -> tuple[bool, str]:
        """Whether a folder may go, and why or why not."""
        part = self.report(capsys)["parts"][folder.relative_to(self.storage).as_posix()]
        return part["removable"], part["reason"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A committed platform whose run `plain` is authorized and runs, an empty storage, an MLflow without models."""
    for name in ("http_proxy", "HTTP_PROXY", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME"):
        monkeypatch.delenv(name, raising=False)
    platform = copy_platform(tmp_path / "platform")
    assert main(["expand", str(platform / "experiments/team-a/plain.yaml"), "--repo", str(platform)]) == 0
    audited.authorize(platform)
    subprocess.run(["git", "init", "-q"], cwd=platform, check=True)
    (tmp_path / "storage").mkdir()
    with serving(StandIn()) as mlflow:
        made = Place(platform, tmp_path / "storage", mlflow)
        made.commit()
        yield made
