"""Who is scored: the base model, the candidate (the published folder), and the version that the alias `champion` names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from runner import publication
from runner.hashing import faults
from runner.records import Damaged, read
from runner.storage import Paths
from runner.tracking import calling, retried
from tools.formats.evaluation import Role
from tools.formats.model import File

ALIAS = "champion"


class Unavailable(Exception):  # noqa: N818 - a verdict on the champion
    """There is a champion, and it cannot be scored; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One model. files: what its folder holds by its record. template: None for the tokenizer's own."""

    role: Role
    name: str
    folder: Path
    files: Mapping[str, File]
    template: str | None
    version: int | None = None
    run_id: str | None = None
    run_sha256: str | None = None


def base(paths: Paths) -> Contender:
    """The model that the run began with."""
    model = paths.lock.run.model
    return Contender("base", model.name, paths.base_model, model.files, model.template)


def candidate(paths: Paths) -> Contender:
    """The run's published folder, which its publisher has compared with its record.

    Raises:
        Damaged: the record is not what was written.
    """
    lock = paths.lock
    assert lock.run.publish is not None
    files = read(publication.Publication, paths.merged / publication.NAME).files
    name, template = lock.run.publish.model_name, lock.run.model.template
    return Contender("candidate", name, paths.merged, files, template, None, lock.run_id, lock.sha256)


def champion(paths: Paths, mlflow: Any) -> Contender | None:
    """The registered champion; None where no version is it, or the run itself is.

    Raises:
        Retry: MLflow is away.
        Unavailable: its folder is gone or changed.
    """
    lock = paths.lock
    assert lock.run.publish is not None
    name = lock.run.publish.model_name
    version = _version(mlflow, name)
    if version is None or version.tags.get("run_sha256") == lock.sha256:
        return None
    run_id, sha256 = version.tags.get("run_id", ""), version.tags.get("run_sha256", "")
    folder = paths.merged.parent / run_id
    remedy = (
        f"bring the folder back, or give the alias {ALIAS} of {name} to another version or none; then evaluate again"
    )
    # The tag becomes a path, and whoever may write the tenant's tags may write anything there.
    if not run_id or folder.name != run_id or run_id.startswith("."):
        raise Unavailable(f"the champion, version {version.version} of {name}, has no run id as its tag; {remedy}")
    try:
        record = read(publication.Publication, folder / publication.NAME)
    except (OSError, Damaged, ValidationError) as error:
        raise Unavailable(f"the champion {run_id} cannot be read: {error}; {remedy}") from error
    wrong = faults(folder, record.files) if record.run_sha256 == sha256 else [f"{folder} is of another run"]
    if wrong:
        raise Unavailable(f"the champion {run_id} is not what its record says: {wrong[0]}; {remedy}")
    model = lock.run.model
    template = model.template if record.tags.get("base_model") == model.name else None
    return Contender("champion", name, folder, record.files, template, int(version.version), run_id, sha256)


def _version(mlflow: Any, name: str) -> Any:
    """The version with the alias, or None."""
    with retried("the model registry", "run `publish` again when MLflow answers; what is done is kept"):
        found = calling(mlflow.search_registered_models, f"name = '{name}'")
        number = found[0].aliases.get(ALIAS) if found else None
        return calling(mlflow.get_model_version, name, str(number)) if number is not None else None
