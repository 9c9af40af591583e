"""The finished folder under output/lora-adapter: gathered aside, proved by completion.json, moved in by one rename."""

from __future__ import annotations

import os
import platform
import shutil
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from runner import completion, delivery
from runner.budget import Budget
from runner.completion import Completion
from runner.events import message
from runner.exits import RunnerError
from runner.hashing import record, sync, sync_tree
from runner.progress import summary
from runner.provenance import dataset_hashes, git_commit
from runner.rows import expected_rows
from runner.storage import Paths

LOCK = ".trainer.lock"
WEIGHTS = ("adapter_model", "model", "pytorch_model", "value_head")
PACKAGES = ("llamafactory", "torch", "transformers", "peft", "mlflow")
# What only a resumed training needs (a pickle among it); LLaMA Factory's summaries, which after a resume count some steps
# twice or not at all: completion.json has the figures.
NOT_RESULT = {
    "training_args.bin", "trainer_state.json", "trainer_log.jsonl", "all_results.json", "train_results.json", "eval_results.json",
}  # fmt: skip


def gather(paths: Paths) -> Path:
    """Copy what LLaMA Factory left into a new folder beside the final one, and return it.

    Raises:
        RunnerError: there are no weights among it.
    """
    names = [path.name for path in paths.writing.iterdir() if path.is_file() and path.name not in NOT_RESULT]
    names = [name for name in names if not name.startswith(".")]
    if not any(name.startswith(WEIGHTS) for name in names):
        raise RunnerError(f"{paths.writing}: LLaMA Factory left no weights", "read its output above; raise `attempt`")
    paths.adapter.parent.mkdir(parents=True, exist_ok=True)
    _clear_leftovers(paths)
    folder = paths.adapter.with_name(f".{paths.lock.run_id}.tmp-{os.getpid()}")
    folder.mkdir()
    for name in names:
        shutil.copyfile(paths.writing / name, folder / name)
    return folder


def complete(paths: Paths, folder: Path, state: Any, rows: int | None, budget: Budget) -> Completion:
    """Write completion.json into the gathered folder, bring all to the disk and move it to its place."""
    proof = _proof(paths, folder, state, rows, budget)
    proof.write(folder / completion.NAME)
    sync_tree(folder)
    if paths.adapter.exists():  # found invalid when this run began
        aside = paths.adapter.with_name(f".{paths.lock.run_id}.damaged-{os.getpid()}")
        paths.adapter.rename(aside)
        message(f"{paths.adapter} was damaged: it is kept as {aside.name}")
    folder.rename(paths.adapter)
    sync(paths.adapter.parent)
    return proof


def _proof(paths: Paths, folder: Path, state: Any, rows: int | None, budget: Budget) -> Completion:
    lock = paths.lock
    return Completion(
        version=1,
        run_id=lock.run_id,
        run_sha256=lock.sha256,
        attempt=lock.attempt,
        steps_done=state.global_step,
        steps_planned=state.max_steps,
        rows_expected=expected_rows(lock),
        rows_trained=rows,
        metrics=summary(state.log_history),
        training_seconds=round(budget.total, 1),
        started_at=budget.since,
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
        files=record(folder, (path.name for path in folder.iterdir())),
        versions=_versions(),
        datasets=dataset_hashes(lock),
        image=lock.run.image,
        git_commit=git_commit(lock),
        mlflow_run_id=delivery.read_record(paths.checkpoints).get("mlflow_run_id"),
    )


def _versions() -> dict[str, str]:
    """Versions of Python and of those packages that this environment has."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _clear_leftovers(paths: Paths) -> None:
    """Remove folders that a killed process left; the trainer's lock is held, so nobody is at work in them."""
    for path in paths.adapter.parent.glob(f".{paths.lock.run_id}.tmp-*"):
        shutil.rmtree(path)
