"""Where a run comes from, as MLflow tags and as the record beside a published model."""

from __future__ import annotations

import os

from tools.formats.lock import Lock


def git_commit(lock: Lock) -> str | None:
    """The commit that holds the experiment: the authorized one, else the environment's GIT_COMMIT."""
    return lock.authorized.commit if lock.authorized else os.environ.get("GIT_COMMIT") or None


def dataset_hashes(lock: Lock) -> dict[str, str]:
    """Dataset name -> SHA-256."""
    return {dataset.name: dataset.sha256 for dataset in lock.run.datasets}


def tags(lock: Lock) -> dict[str, str]:
    """Tags that every MLflow object of the run carries; unknown ones are left out."""
    run = lock.run
    found: dict[str, str | None] = {
        "run_id": lock.run_id,
        "run_sha256": lock.sha256,
        "tenant": run.tenant,
        "environment": run.environment,
        "owner": run.experiment.get("owner"),
        "base_model": run.model.name,
        "base_model_revision": run.model.source.revision,
        "image": run.image,
        "git_commit": git_commit(lock),
        "approvers": ",".join(lock.authorized.approvers) if lock.authorized else None,
        "merge_request": str(lock.authorized.merge_request) if lock.authorized else None,
        **{f"dataset_sha256.{name}": sha256 for name, sha256 in dataset_hashes(lock).items()},
    }
    return {name: value for name, value in found.items() if value}
