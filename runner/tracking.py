"""One MLflow run, found by its tag or created, and entries of the spool sent to it; sending twice gives the same rows."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from runner import localstore
from runner.exits import Retry
from tools.formats.lock import Lock

PARAMS_PER_BATCH = 100  # MLflow's limits
METRICS_PER_BATCH = 1000
PARAM_LENGTH = 6000
DIGEST_LENGTH = 36
BAD_REQUEST = 400
NO_LOGIN = (401, 403)  # nobody, and somebody who may not
LOGIN_REMEDY = (
    "put the tenant's `username` and `password` into the Secret mlflow-credentials of its namespace, and see that this user may"
    " edit the experiment; then run `publish` again, what is done is kept"
)
# A server that is away must be noticed in seconds; the caller tries again.
CLIENT_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}


class Refused(Exception):  # noqa: N818 - MLflow's verdict, no fault of ours
    """MLflow will never take this entry."""


class Unreachable(Exception):  # noqa: N818
    """MLflow did not answer, or not well; trying again may help."""


class LoginRefused(Unreachable):
    """MLflow answers, but not to this run's credential; trying again helps once a person has mended that."""


@contextmanager
def retried(who: str, remedy: str) -> Iterator[None]:
    """Turn what MLflow did not take into Retry.

    who: the part of MLflow that was asked, as the message names it. remedy: for all but a refused login.
    """
    try:
        yield
    except LoginRefused as error:
        raise Retry(f"{who} refuses the login: {error}", LOGIN_REMEDY) from error
    except (Refused, Unreachable) as error:
        raise Retry(f"{who} failed: {error}", remedy) from error


def target(lock: Lock) -> tuple[str, str]:
    """Tracking URI and experiment name: the container's environment first, then the lock."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or lock.run.mlflow.tracking_uri
    return uri, os.environ.get("MLFLOW_EXPERIMENT_NAME") or lock.run.mlflow.experiment


def client(uri: str) -> Any:
    """An MlflowClient that gives up quickly; imports MLflow, which takes seconds.

    Raises:
        Unreachable: it cannot be made, for instance because a database's folder is missing.
    """
    for name, value in CLIENT_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from mlflow.tracking import MlflowClient

    try:
        localstore.prepare(uri)
        return MlflowClient(tracking_uri=uri, registry_uri=uri)
    except Exception as error:
        raise Unreachable(str(error)) from error


class Run:
    """The MLflow run of one training run.

    created: whether it was made now, so that everything ever spooled must be sent again.
    Every method raises Unreachable or Refused.
    """

    def __init__(self, mlflow: Any, experiment: str, run_id: str, run_sha256: str) -> None:
        self._client = mlflow
        self._known: dict[str, set[int]] = {}
        self.created = False
        self.experiment_id = calling(self._experiment, experiment)
        self.id = calling(self._find, run_sha256) or calling(self._create, run_id, run_sha256)

    def send(self, entries: list[dict[str, Any]]) -> None:
        """Send entries of one kind, as `batches` gives them."""
        kind = entries[0].get("kind")
        senders = {"run": self._describe, "tags": self._tag, "status": self._status}
        if kind != "metrics" and kind not in senders:
            raise Refused(f"unknown kind {kind!r}")
        try:
            if kind == "metrics":
                calling(self._metrics, entries)
            else:
                for entry in entries:
                    calling(senders[kind], entry)
        except Unreachable:
            # The answer was lost, perhaps not the question: ask again what is there before sending again.
            self.created = False
            self._known.clear()
            raise

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        return str(found.experiment_id if found else self._client.create_experiment(name))

    def _find(self, run_sha256: str) -> str | None:
        runs = self._client.search_runs(
            [self.experiment_id],
            f"tags.run_sha256 = '{run_sha256}'",
            order_by=["attributes.start_time ASC"],
            max_results=1,
        )
        return str(runs[0].info.run_id) if runs else None

    def _create(self, run_id: str, run_sha256: str) -> str:
        tags = {"run_id": run_id, "run_sha256": run_sha256}
        run = self._client.create_run(self.experiment_id, tags=tags, run_name=run_id)
        self.created = True
        return str(run.info.run_id)

    def _describe(self, entry: dict[str, Any]) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag, Param

        params = [Param(name, value) for name, value in entry["params"].items()]
        for start in range(0, len(params), PARAMS_PER_BATCH):
            self._client.log_batch(self.id, params=params[start : start + PARAMS_PER_BATCH])
        self._tag(entry)
        context = [InputTag("mlflow.data.context", "training")]
        inputs = [DatasetInput(Dataset(**dataset), context) for dataset in entry["datasets"]]
        self._client.log_inputs(self.id, inputs)

    def _tag(self, entry: dict[str, Any]) -> None:
        from mlflow.entities import RunTag

        self._client.log_batch(self.id, tags=[RunTag(name, value) for name, value in entry["tags"].items()])

    def _status(self, entry: dict[str, Any]) -> None:
        if entry["status"] == "RUNNING":
            self._client.update_run(self.id, status="RUNNING")
        else:
            self._client.set_terminated(self.id, status=entry["status"], end_time=entry["timestamp"])

    def _metrics(self, entries: list[dict[str, Any]]) -> None:
        from mlflow.entities import Metric

        new = {
            (name, entry["step"]): Metric(name, value, entry["timestamp"], entry["step"])
            for entry in reversed(entries)
            for name, value in entry["values"].items()
            if entry["step"] not in self._steps(name)
        }
        metrics = list(new.values())[::-1]
        for start in range(0, len(metrics), METRICS_PER_BATCH):
            self._client.log_batch(self.id, metrics=metrics[start : start + METRICS_PER_BATCH])
        for name, step in new:
            self._known[name].add(step)

    def _steps(self, name: str) -> set[int]:
        """Steps that MLflow has for a metric: a resumed run repeats those after its checkpoint, and must not log them twice."""
        if name not in self._known:
            history = [] if self.created else self._client.get_metric_history(self.id, name)
            self._known[name] = {metric.step for metric in history}
        return self._known[name]


def batches(entries: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Neighbouring metrics together, everything else alone, in order."""
    grouped: list[list[dict[str, Any]]] = []
    for entry in entries:
        if grouped and entry.get("kind") == "metrics" == grouped[-1][0].get("kind"):
            grouped[-1].append(entry)
        else:
            grouped.append([entry])
    return grouped


def params(lock: Lock) -> dict[str, str]:
    """The settings as MLflow parameters: nested mappings dotted, everything else as JSON unless it is text.

    What the platform chose for `performance: auto` is among them; what was written stands as `performance.as_written.*`.
    """
    found = _flat("", lock.run.settings)
    if (chosen := lock.run.performance) is not None:
        found |= _flat("performance", {"mode": "auto", **chosen.model_dump(exclude={"reasons"})})
    return {name: value[:PARAM_LENGTH] for name, value in found.items()}


def datasets(lock: Lock) -> list[dict[str, str]]:
    """The datasets as MLflow records them; a digest holds 36 characters there, so the profile carries all 64."""
    claim = f"pvc://{lock.run.namespace}/{lock.run.storage.claim}"
    return [
        {
            "name": dataset.name,
            "digest": dataset.sha256[:DIGEST_LENGTH],
            "source_type": "pvc",
            "source": json.dumps({"uri": f"{claim}/data/training-datasets/{dataset.path}"}),
            "profile": json.dumps({"rows": dataset.rows, "sha256": dataset.sha256}),
        }
        for dataset in lock.run.datasets
    ]


def _flat(prefix: str, value: Any) -> dict[str, str]:
    if isinstance(value, dict) and value:
        found: dict[str, str] = {}
        for key, item in value.items():
            found |= _flat(f"{prefix}.{key}" if prefix else str(key), item)
        return found
    return {prefix: value if isinstance(value, str) else json.dumps(value)}


def calling(function: Any, *arguments: Any) -> Any:
    """Call MLflow; its many exceptions become three."""
    from mlflow.exceptions import MlflowException

    try:
        return function(*arguments)
    except MlflowException as error:
        # A proxy's 400 is a page, MLflow's own says which parameter: only that one comes again for ever.
        if error.get_http_status_code() == BAD_REQUEST and error.error_code != "BAD_REQUEST":
            raise Refused(str(error)) from error
        if error.get_http_status_code() in NO_LOGIN:
            user = os.environ.get("MLFLOW_TRACKING_USERNAME")
            raise LoginRefused(f"{f'user {user}' if user else 'no credential'}: {error}") from error
        raise Unreachable(str(error)) from error
    except (KeyError, TypeError, AttributeError) as error:
        raise Refused(f"malformed entry: {error!r}") from error
    except Exception as error:
        raise Unreachable(f"{type(error).__name__}: {error}") from error
