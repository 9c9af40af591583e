"""What MLflow knows of a run, through its REST API: progress, loss, links, the registered version. No mlflow import.

API: MLflow's documentation, "REST API", 2.0; the tags and metrics are those that runner/tracking.py and
runner/callback.py write. Credentials: MLflow's own variables MLFLOW_TRACKING_USERNAME, _PASSWORD and _TOKEN.
"""

from __future__ import annotations

import json
import math
import os
import ssl
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any, NamedTuple

from tools.formats.lock import Lock
from tools.mlflow_login import credentials

_SECONDS = 5.0
_MISSING = 404
_FIGURES = (
    "tokens_per_second",
    "eta_error_seconds",
    "samples_per_second",
    "seconds_per_step",
    "gpu_utilisation_percent",
)
_HISTORY = 25_000  # MLflow's own limit of one answer


class Away(Exception):  # noqa: N818 - MLflow's state, never a reason for status to fail
    """MLflow does not answer, or refuses."""


@dataclass(frozen=True, slots=True)
class Tracked:
    """A run as MLflow has it.

    percent: 0 to 100. eta_seconds: as reported at `updated` (seconds since 1970); eta_error_seconds: half the width of its 95 %
    interval (runner/pace.py). gpu_memory_gib: in use now; gpu_utilisation_percent: of the last second. Any may be missing.
    """

    run_id: str
    url: str
    percent: float | None = None
    eta_seconds: float | None = None
    loss: float | None = None
    tokens_per_second: float | None = None
    eta_error_seconds: float | None = None
    samples_per_second: float | None = None
    seconds_per_step: float | None = None
    gpu_memory_gib: float | None = None
    gpu_utilisation_percent: float | None = None
    step: int | None = None
    updated: float | None = None
    attempt: int | None = None
    version: int | None = None
    version_url: str | None = None
    publication: str | None = None
    evaluation: str | None = None


class Point(NamedTuple):
    """One value of a metric; seconds: since 1970."""

    step: int
    seconds: float
    value: float


class Tracking:
    """One MLflow server. Methods raise Away."""

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/")
        self._experiments: dict[str, str | None] = {}
        self._tls = _tls() if self.uri.startswith("https:") else None

    def of(self, lock: Lock) -> Tracked | None:
        """What the server has of a run; None before its first step."""
        try:
            return self._of(lock)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Away(f"{self.uri} does not speak MLflow's API ({error!r})") from error

    def history(self, mlflow_run: str, metric: str) -> list[tuple[int, float]]:
        """A metric over the steps, the last value of each; at most `_HISTORY` of them."""
        pairs = {point.step: point.value for point in self.points(mlflow_run, metric)}
        return sorted(pairs.items())

    def points(self, mlflow_run: str, metric: str) -> list[Point]:
        """The finite values of a metric, as they were logged; at most `_HISTORY` of them."""
        where = urllib.parse.urlencode({"run_id": mlflow_run, "metric_key": metric, "max_results": _HISTORY})
        try:
            found = self._call(f"metrics/get-history?{where}").get("metrics") or []
            points = [
                Point(int(entry.get("step") or 0), float(entry.get("timestamp") or 0) / 1000, float(entry["value"]))
                for entry in found
                if entry.get("key", metric) == metric
            ]
        except _Missing:
            return []
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise Away(f"{self.uri} does not speak MLflow's API ({error!r})") from error
        return [point for point in points if math.isfinite(point.value)]

    def run_of(self, experiment: str, run_sha256: str) -> str | None:
        """MLflow's id of the run with that hash in one of its experiments; None where it has none."""
        try:
            number = self._experiment(experiment)
            found = self._first(number, run_sha256) if number is not None else None
            return str(found["info"]["run_id"]) if found is not None else None
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Away(f"{self.uri} does not speak MLflow's API ({error!r})") from error

    def evaluation(self, mlflow_run: str) -> dict[str, float]:
        """The last values of a run's metrics whose names begin with `eval`, those of its published model aside."""
        try:
            answer = self._call(f"runs/get?{urllib.parse.urlencode({'run_id': mlflow_run})}")
            metrics = {entry["key"]: entry for entry in answer["run"]["data"].get("metrics") or []}
            found = {name: _number(metrics, name) for name in sorted(metrics) if _while_training(name)}
        except _Missing:
            return {}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Away(f"{self.uri} does not speak MLflow's API ({error!r})") from error
        return {name: value for name, value in found.items() if value is not None}

    def _of(self, lock: Lock) -> Tracked | None:
        experiment = self._experiment(lock.run.mlflow.experiment)
        if experiment is None:
            return None
        found = self._first(experiment, lock.sha256)
        return self._tracked(found, experiment, lock) if found is not None else None

    def _first(self, experiment: str, run_sha256: str) -> dict[str, Any] | None:
        """The oldest run of an experiment with that hash."""
        body = {
            "experiment_ids": [experiment],
            "filter": f"tags.run_sha256 = '{run_sha256}'",
            "order_by": ["attributes.start_time ASC"],
            "max_results": 1,
        }
        runs: list[dict[str, Any]] = self._call("runs/search", body).get("runs") or []
        return runs[0] if runs else None

    def _tracked(self, run: dict[str, Any], experiment: str, lock: Lock) -> Tracked:
        data = run.get("data") or {}
        metrics = {entry["key"]: entry for entry in data.get("metrics") or []}
        tags = {entry["key"]: entry["value"] for entry in data.get("tags") or []}
        progress = metrics.get("progress/percent") or {}
        run_id = str(run["info"]["run_id"])
        entry = min(self._versions(lock), key=lambda found: int(found["version"]), default=None)
        version = int(entry["version"]) if entry is not None else None
        of_version = dict(_tags(entry)) if entry is not None else {}
        return Tracked(
            run_id=run_id,
            url=f"{self.uri}/#/experiments/{experiment}/runs/{run_id}",
            percent=_number(metrics, "progress/percent"),
            eta_seconds=_number(metrics, "progress/eta_seconds"),
            loss=_number(metrics, "loss"),
            **{name: _number(metrics, f"progress/{name}") for name in _FIGURES},
            gpu_memory_gib=_number(metrics, "progress/gpu_memory_used_gib"),
            step=int(progress["step"]) if "step" in progress else None,
            updated=int(progress["timestamp"]) / 1000 if "timestamp" in progress else None,
            attempt=int(tags["attempt"]) if tags.get("attempt", "").isdecimal() else None,
            version=version,
            publication=of_version.get("publication_sha256"),
            evaluation=of_version.get("evaluation"),
            version_url=f"{self.uri}/#/models/{_quoted(lock)}/versions/{version}" if version else None,
        )

    def registered(self, lock: Lock) -> dict[str, Any] | None:
        """The run's model version: {name, version, tags, aliases}; the oldest one where there are several."""
        try:
            found = self._versions(lock)
            first = min(found, key=lambda entry: int(entry["version"]), default=None)
            if first is None or lock.run.publish is None:
                return None
            aliases = [str(alias) for alias in first.get("aliases") or []]
            name, version = lock.run.publish.model_name, int(first["version"])
            return {"name": name, "version": version, "tags": dict(_tags(first)), "aliases": aliases}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Away(f"{self.uri} does not speak MLflow's API ({error!r})") from error

    def aliases(self, name: str) -> list[tuple[str, str | None]]:
        """Aliases of a registered model, each with the tag `run_id` of its version; none where there is no such model."""
        try:
            answer = self._call(f"registered-models/get?{urllib.parse.urlencode({'name': name})}")
            listed = [(entry["alias"], entry["version"]) for entry in answer["registered_model"].get("aliases") or []]
            return [(str(alias), self._run_of(name, str(version))) for alias, version in listed]
        except _Missing:
            return []
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Away(f"{self.uri} does not speak MLflow's API ({error!r})") from error

    def _run_of(self, name: str, version: str) -> str | None:
        where = urllib.parse.urlencode({"name": name, "version": version})
        return dict(_tags(self._call(f"model-versions/get?{where}")["model_version"])).get("run_id")

    def _versions(self, lock: Lock) -> list[dict[str, Any]]:
        if lock.run.publish is None:
            return []
        where = urllib.parse.quote(f"name = '{lock.run.publish.model_name}'")
        try:
            found = self._call(f"model-versions/search?filter={where}&max_results=1000").get("model_versions") or []
        except _Missing:
            return []
        return [entry for entry in found if ("run_sha256", lock.sha256) in _tags(entry)]

    def _experiment(self, name: str) -> str | None:
        if name not in self._experiments:
            where = urllib.parse.quote(name)
            try:
                found = self._call(f"experiments/get-by-name?experiment_name={where}")
                self._experiments[name] = str(found["experiment"]["experiment_id"])
            except _Missing:
                self._experiments[name] = None
        return self._experiments[name]

    def _call(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310 - the formats let http and https through, nothing else
            f"{self.uri}/api/2.0/mlflow/{path}",
            data=json.dumps(body).encode() if body is not None else None,
            headers={"Content-Type": "application/json", **credentials()},
        )
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS, context=self._tls) as response:  # noqa: S310
                answer = json.loads(response.read())
        except urllib.error.HTTPError as error:
            if error.code == _MISSING:
                raise _Missing(path) from error
            raise Away(f"{self.uri} refuses: {error.code} {error.reason}") from error
        except (OSError, ValueError) as error:
            raise Away(f"{self.uri} does not answer: {getattr(error, 'reason', None) or error}") from error
        if not isinstance(answer, dict):
            raise Away(f"{self.uri} does not speak MLflow's API")
        return answer


def _while_training(metric: str) -> bool:
    """Whether it is of the rows that training holds out; the evaluation of the published model has names of its own."""
    return metric.startswith("eval") and not metric.startswith("evaluation/")


class _Missing(Away):
    """MLflow has no such thing."""


def remedy(uri: str) -> str:
    """How to reach a server that only the cluster can name, and how to log in."""
    host, _, port = urllib.parse.urlsplit(uri).netloc.partition(":")
    parts = host.split(".")
    login = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD log in"
    if parts[2:3] != ["svc"]:
        return login
    port = port or "80"
    forward = f"kubectl -n {parts[1]} port-forward svc/{parts[0]} {port}"
    return f"from outside the cluster: `{forward}` and --tracking-uri http://127.0.0.1:{port}; {login}"


def _number(metrics: dict[str, dict[str, Any]], name: str) -> float | None:
    value = float(metrics[name]["value"]) if name in metrics else math.nan
    return value if math.isfinite(value) else None


def _tags(entry: dict[str, Any]) -> list[tuple[str, str]]:
    return [(tag["key"], tag["value"]) for tag in entry.get("tags") or []]


def _quoted(lock: Lock) -> str:
    assert lock.run.publish is not None
    return urllib.parse.quote(lock.run.publish.model_name)


def _tls() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH"))
