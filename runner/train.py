"""`python -m runner train`: from the lock to a finished folder with completion.json."""

from __future__ import annotations

from pathlib import Path

from runner import checkpoints, completion, failures, prechecks, result, tracking
from runner.budget import Budget
from runner.events import emit, message
from runner.exits import DONE, Mismatch, Stopped, TimeLimit
from runner.provenance import tags
from runner.sender import Sender
from runner.signals import Sigterm, Termination, stopped
from runner.spool import Spool
from runner.storage import Paths, exclusive, scratch_folder

LAST_DELIVERY_SECONDS = 20.0


def run(paths: Paths) -> int:
    """Train the run unless it has finished.

    Raises:
        RunnerError: with the exit code; `failure.json` lies beside the checkpoints if training had begun.
    """
    if _finished(paths):
        return DONE
    prechecks.check(paths)
    sigterm = Sigterm()
    folder = None
    try:
        paths.checkpoints.mkdir(parents=True, exist_ok=True)
        with sigterm.installed(), exclusive(paths.checkpoints / result.LOCK, wait=False):
            folder = paths.checkpoints
            (folder / failures.NAME).unlink(missing_ok=True)
            _train(paths, sigterm)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - each ends in an exit code and a message
        failure = stopped(None) if isinstance(error, Termination) else failures.explain(error, paths)
        failures.report(failure, error, folder)
        return failure.exit_code
    return DONE


def _finished(paths: Paths) -> bool:
    verdict = completion.check(paths)
    if verdict.completion is not None:
        proof = verdict.completion
        emit("finish", run_id=paths.lock.run_id, already=True, steps=proof.steps_done, path=str(paths.adapter))
        return True
    if verdict.foreign:
        raise Mismatch(verdict.reason, f"move {paths.adapter} away: two runs cannot share a folder")
    if paths.adapter.exists():
        message(f"{verdict.reason}: the run goes on from its last checkpoint and replaces that folder")
    return False


def _train(paths: Paths, sigterm: Sigterm) -> None:
    lock = paths.lock
    budget = Budget(paths.checkpoints, lock.attempt, lock.run.resources.time_limit_seconds)
    if budget.exhausted:
        raise TimeLimit(
            f"{budget.used:.0f} s used before this start; allowed: {budget.limit} s (resources.time_limit)",
            "raise `attempt` in the experiment to go on with the same limit again",
        )
    resume = _resume(paths)
    spool = Spool(paths.checkpoints)
    sender = Sender(paths, spool)
    _announce(paths, spool)
    status = "FAILED"
    try:
        _learn(paths, sigterm, budget, resume, spool, sender)
        status = "FINISHED"
    except (Stopped, Termination):
        status = "KILLED"
        raise
    finally:
        budget.save()
        if status != "FINISHED":
            spool.append("status", status=status)
            sender.finish(LAST_DELIVERY_SECONDS)
        spool.close()


def _learn(paths: Paths, sigterm: Sigterm, budget: Budget, resume: Path | None, spool: Spool, sender: Sender) -> None:
    with scratch_folder() as scratch:
        from runner import trainer

        trainer.prepare(scratch)
        from runner.callback import RunCallback

        callback = RunCallback(paths, spool, budget, sigterm)
        trainer.train(paths, scratch, resume, callback)
    folder = result.gather(paths)
    spool.append("status", status="FINISHED")
    if not sender.finish(LAST_DELIVERY_SECONDS):
        message("MLflow has not everything yet: `publish` or the next start sends the rest")
    proof = result.complete(paths, folder, callback.state, callback.rows, budget)
    emit(
        "finish",
        run_id=paths.lock.run_id,
        already=False,
        steps=proof.steps_done,
        path=str(paths.adapter),
        metrics=proof.metrics,
        seconds=proof.training_seconds,
    )


def _resume(paths: Paths) -> Path | None:
    if paths.lock.run.settings["stage"] == "rm":
        return None  # LLaMA Factory cannot resume a reward model: its value head is no part of what it loads back
    checkpoint = checkpoints.newest(paths.checkpoints, paths.lock.sha256)
    if checkpoint is not None:
        emit("resume", run_id=paths.lock.run_id, checkpoint=str(checkpoint))
    return checkpoint


def _announce(paths: Paths, spool: Spool) -> None:
    """Parameters, tags and datasets come before the first step; sent again, they change nothing but the attempt."""
    lock = paths.lock
    spool.append("status", status="RUNNING")
    spool.append(
        "run",
        params=tracking.params(lock),
        tags={**tags(lock), "attempt": str(lock.attempt)},
        datasets=tracking.datasets(lock),
    )
    spool.sync()
