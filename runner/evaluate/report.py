"""What an evaluation found, told to MLflow: metrics and a table on the run, the verdict as tags of the registered version."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from runner.events import message
from runner.tracking import calling, retried
from tools.formats.evaluation import NONE, RESULT_TAG, TAG, Evaluation, tag
from tools.formats.evaluation_table import markdown

PREFIX = "evaluation"
# Servers that take files through their own API; others want the client to write to their store, which this Job cannot reach.
_PROXIED = "mlflow-artifacts:"


def tags(evaluation: Evaluation | None) -> dict[str, str]:
    """Tags of the registered version."""
    if evaluation is None:
        return {TAG: NONE}
    return {TAG: evaluation.verdict, RESULT_TAG: tag(evaluation)}


def log(mlflow: Any, run_id: str, evaluation: Evaluation) -> None:
    """Metrics, tag and table of the MLflow run; doing it twice leaves one of each.

    Raises:
        Retry: MLflow is away or refuses.
    """
    with retried("MLflow", "run `publish` again when it answers; the evaluation is kept"):
        calling(_log, mlflow, run_id, evaluation)


def metrics(evaluation: Evaluation) -> dict[str, float]:
    """Metric name of the run -> value: each score with its interval, and the differences."""
    found = {}
    for model in evaluation.models:
        for name, score in model.scores.items():
            found[f"{PREFIX}/{model.role}/{name}"] = score.value
            found[f"{PREFIX}/{model.role}/{name}_low"] = score.low
            found[f"{PREFIX}/{model.role}/{name}_high"] = score.high
    for each in evaluation.comparisons:
        found[f"{PREFIX}/over_{each.against}/{each.metric}"] = each.difference.value
    return found


def _log(mlflow: Any, run_id: str, evaluation: Evaluation) -> None:
    from mlflow.entities import Metric, RunTag

    run = mlflow.get_run(run_id)
    moment = int(datetime.fromisoformat(evaluation.finished_at).timestamp() * 1000)
    new = [
        Metric(name, value, moment, 0)
        for name, value in metrics(evaluation).items()
        if run.data.metrics.get(name) != value
    ]
    mlflow.log_batch(run_id, metrics=new, tags=[RunTag(TAG, evaluation.verdict)])
    if run.info.artifact_uri.startswith(_PROXIED):
        _files(mlflow, run_id, evaluation)


def _files(mlflow: Any, run_id: str, evaluation: Evaluation) -> None:
    """The table to read and the whole result; the numbers are in metrics and tags already, so a refusal is no fault."""
    try:
        mlflow.log_text(run_id, markdown(evaluation), f"{PREFIX}/evaluation.md")
        mlflow.log_dict(run_id, evaluation.model_dump(mode="json"), f"{PREFIX}/evaluation.json")
    except Exception as error:  # noqa: BLE001 - whatever the artifact store raises
        message(f"MLflow took no files of the evaluation: {error}")
