"""The real MLflow server of the runner's environment, and its answers over REST."""

from __future__ import annotations

import base64
import json
import secrets
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.e2e import machine
from tests.e2e.processes import Programs, wait_for


class MLflow:
    """A server, asked as any HTTP client would."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url = url
        self.user = user
        self.password = password

    def login(self, user: str) -> MLflow:
        """A new user with a password of its own, made as an administrator does, and the server as that user sees it."""
        password = secrets.token_hex(16)
        self.post("users/create", {"username": user, "password": password})
        return MLflow(self.url, user, password)

    def get(self, path: str, **query: str) -> Any:
        """The answer to a GET of an API path, for instance `registered-models/get`."""
        return self._call(f"{path}?{urlencode(query)}")

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """The answer to a POST."""
        return self._call(path, json.dumps(body).encode())

    def runs(self, experiment: str) -> list[dict[str, Any]]:
        """The runs of an experiment."""
        found = self.get("experiments/get-by-name", experiment_name=experiment)["experiment"]
        return list(self.post("runs/search", {"experiment_ids": [found["experiment_id"]]}).get("runs", []))

    def steps(self, run: dict[str, Any], metric: str) -> list[int]:
        """The steps that a run has a metric for, in order."""
        query = {"run_id": run["info"]["run_id"], "metric_key": metric}
        return sorted(int(each["step"]) for each in self.get("metrics/get-history", **query).get("metrics", []))

    def healthy(self) -> bool:
        """Whether it answers."""
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=5) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    def _call(self, path: str, data: bytes | None = None) -> Any:
        request = urllib.request.Request(f"{self.url}/api/2.0/mlflow/{path}", data)
        request.add_header("Content-Type", "application/json")
        login = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        request.add_header("Authorization", f"Basic {login}")
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.loads(response.read())


def tags(entity: dict[str, Any]) -> dict[str, str]:
    """Tags of a run's data or a model version."""
    return {tag["key"]: tag["value"] for tag in entity.get("tags", [])}


_LOGIN = """\
[mlflow]
default_permission = NO_PERMISSIONS
database_uri = sqlite:///{folder}/auth.db
admin_username = {mlflow.user}
admin_password = {mlflow.password}
"""


@contextmanager
def running(folder: Path, address: str, port: int, programs: Programs) -> Iterator[MLflow]:
    """A server as docs/install.md sets it up, with SQLite databases, which answers; seen as its administrator.

    It leaves its work to a process of its own, so it gets a PID namespace: that one ends with it, however the tests end.
    """
    folder.mkdir()
    mlflow = MLflow(f"http://{address}:{port}", "admin", secrets.token_hex(16))
    login = folder / "basic_auth.ini"
    login.write_text(_LOGIN.format(folder=folder, mlflow=mlflow), encoding="utf-8")
    command = [
        *("unshare", "--fork", "--pid", "--kill-child", str(machine.RUNNER / "mlflow"), "server"),
        *("--app-name", "basic-auth", "--host", address, "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artifacts")),
    ]
    settings = {
        "MLFLOW_AUTH_CONFIG_PATH": str(login),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(16),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # it has none
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    server = programs.start("mlflow", command, settings)
    try:
        wait_for(mlflow.healthy, "MLflow", programs=[server])
        yield mlflow
    finally:
        server.kill()  # unshare does not hear SIGTERM
