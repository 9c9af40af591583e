"""The model version in MLflow's registry, and the alias `candidate`; doing it twice changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runner.completion import Completion
from runner.provenance import tags
from runner.tracking import calling, retried
from tools.formats.lock import Lock

ALIAS = "candidate"
# Set after the alias: a version that has it is left alone for ever, so that moving the alias by hand lasts.
DONE_TAG = "registration"
DONE = "complete"
# The completion manifest without what may be long (a tag holds 8000 characters): who compares the version with its lock has
# it from here, and needs no storage.
PROOF_TAG = "completion"


def register(
    mlflow: Any,
    lock: Lock,
    mlflow_run_id: str,
    completion: Completion | None = None,
    evaluation: Mapping[str, str] | None = None,
) -> int:
    """Make sure that the run has a version of its registered model, and return its number.

    completion: the proof that it finished, kept as a tag. evaluation: tags that say what its evaluation found; a version that
    is there gets them too.

    Raises:
        Retry: MLflow is away or refuses.
    """
    with retried("the model registry", "publish again when MLflow answers; the folder is in place"):
        return int(calling(_register, mlflow, lock, mlflow_run_id, completion, evaluation or {}))


def source(lock: Lock) -> str:
    """Where the model lies, as an opaque URI: MLflow never opens it."""
    return f"pvc://{lock.run.namespace}/{lock.run.storage.claim}/models/merged-model/{lock.model_folder}"


def _register(
    mlflow: Any, lock: Lock, mlflow_run_id: str, completion: Completion | None, evaluation: Mapping[str, str]
) -> int:
    assert lock.run.publish is not None
    name = lock.run.publish.model_name
    version = _existing(mlflow, name, lock.sha256) or _create(mlflow, name, lock, mlflow_run_id, completion)
    number = int(version.version)
    for name_of_tag, value in evaluation.items():
        if version.tags.get(name_of_tag) != value:
            mlflow.set_model_version_tag(name, str(number), name_of_tag, value)
    if version.tags.get(DONE_TAG) != DONE:
        _point(mlflow, name, number)
        mlflow.set_model_version_tag(name, str(number), DONE_TAG, DONE)
    return number


def _existing(mlflow: Any, name: str, run_sha256: str) -> Any:
    """The run's version; the oldest, should two publishers on two machines ever have raced."""
    found = [item for item in _versions(mlflow, name) if item.tags.get("run_sha256") == run_sha256]
    return min(found, key=lambda item: int(item.version), default=None)


def _versions(mlflow: Any, name: str) -> list[Any]:
    found: list[Any] = []
    token = None
    while True:
        page = mlflow.search_model_versions(f"name = '{name}'", page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def _create(mlflow: Any, name: str, lock: Lock, mlflow_run_id: str, completion: Completion | None) -> Any:
    if not mlflow.search_registered_models(f"name = '{name}'"):
        mlflow.create_registered_model(name, tags={"tenant": lock.run.tenant})
    return mlflow.create_model_version(
        name,
        source=source(lock),
        run_id=mlflow_run_id,
        tags=tags(lock) | proof(completion),
        description=lock.run.experiment.get("description"),
    )


def proof(completion: Completion | None) -> dict[str, str]:
    """The completion manifest as a tag, without the lists of files and metrics."""
    if completion is None:
        return {}
    return {PROOF_TAG: completion.model_dump_json(exclude={"files", "metrics"})}


def _point(mlflow: Any, name: str, number: int) -> None:
    """Move the alias forward to `number`, never back."""
    current = mlflow.get_registered_model(name).aliases.get(ALIAS)
    if current is None or int(current) < number:
        mlflow.set_registered_model_alias(name, ALIAS, str(number))
