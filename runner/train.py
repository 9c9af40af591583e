"""`python -m runner train`: from the lock to a finished folder with completion.json."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from runner import checkpoints, completion, failures, lastwords, lease, prechecks, result, saving, tracking
from runner.budget import Budget
from runner.events import emit, message
from runner.exits import DONE, Mismatch, RunnerError, Stopped, TimeLimit
from runner.probe.decide import decide, step_down
from runner.provenance import tags
from runner.ranks import supervisor, world
from runner.sender import Sender
from runner.settings import STALL, seconds
from runner.signals import Sigterm, Termination, stopped
from runner.spool import Spool
from runner.stall import WATCH, leave
from runner.storage import Paths, exclusive, scratch_folder

LAST_DELIVERY_SECONDS = 20.0
Tell = Callable[[RunnerError, BaseException, Path | None], None]


def run(paths: Paths, tell: Tell = failures.report) -> int:
    """Train the run unless it has finished; with several ranks this process starts them and waits.

    tell: what becomes of a failure.

    Raises:
        RunnerError: with the exit code; `failure.json` lies beside the checkpoints if training had begun.
    """
    if world.several(paths.lock) and not world.is_worker():
        return DONE if _finished(paths) else supervisor.run(paths)
    sigterm = Sigterm()
    ours = _Ours(paths, tell)
    try:
        with sigterm.installed(), WATCH.guarding(seconds(STALL), ours.end, ours.words):
            if not _finished(paths):
                _hold(paths, sigterm, ours)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - each ends in an exit code and a message
        failure = stopped(ours.last) if isinstance(error, Termination) else failures.explain(error, paths)
        if ours.folder is not None:
            failure = step_down(paths, failure)
        tell(failure, error, ours.folder)
        return failure.exit_code
    return DONE


class _Ours:
    """folder: the checkpoints folder once this process holds its lease, before that None: another's must stay untouched."""

    def __init__(self, paths: Paths, tell: Tell) -> None:
        self._paths = paths
        self._tell = tell
        self.folder: Path | None = None

    @property
    def last(self) -> str | None:
        """Name of the newest checkpoint."""
        return checkpoints.last(self._paths.checkpoints)

    def end(self, failure: RunnerError) -> None:
        """End the process from a thread that watches it."""
        leave(failure, lambda: self._tell(failure, failure, self.folder))

    def words(self, failure: RunnerError) -> str | None:
        """The command that tells of the failure where this process is stuck; of a rank its supervisor tells."""
        return None if world.is_worker() else lastwords.command(failure, self.folder)


def _hold(paths: Paths, sigterm: Sigterm, ours: _Ours) -> None:
    """Train with everything held that keeps a second process out."""
    prechecks.check(paths)
    paths.checkpoints.mkdir(parents=True, exist_ok=True)

    def lost(failure: RunnerError) -> None:
        ours.folder = None
        ours.end(failure)

    with (
        exclusive(paths.checkpoints / result.LOCK, wait=False),
        lease.held(paths.checkpoints, lost) as held,
    ):
        ours.folder = paths.checkpoints
        (paths.checkpoints / failures.NAME).unlink(missing_ok=True)
        _train(paths, sigterm, held)


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


def _train(paths: Paths, sigterm: Sigterm, held: lease.Lease) -> None:
    lock = paths.lock
    budget = Budget(paths.checkpoints, lock.attempt, lock.run.resources.time_limit_seconds)
    if budget.exhausted:
        raise TimeLimit(
            f"{budget.used:.0f} s used before this start; allowed: {budget.limit} s (resources.time_limit)",
            "raise `attempt` in the experiment to go on with the same limit again",
        )
    checkpoints.prepare(paths.checkpoints)
    resume = _resume(paths)
    spool = Spool(paths.checkpoints)
    sender = Sender(paths, spool)
    _announce(paths, spool)
    status = "FAILED"
    try:
        _learn(paths, resume, sender, saving.Keeper(paths, spool, budget, sigterm, held.confirm))
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


def _learn(paths: Paths, resume: Path | None, sender: Sender, keeper: saving.Keeper) -> None:
    with scratch_folder() as scratch:
        decide(paths, scratch, keeper.spool)
        from runner import trainer

        trainer.prepare(scratch)
        from runner.callback import RunCallback

        callback = RunCallback(paths, keeper.spool, keeper.budget, keeper.sigterm)
        with saving.guarded(keeper):
            trainer.train(paths, scratch, resume, callback, keeper.sigterm)
    WATCH.beat("finishing")
    folder = result.gather(paths)
    keeper.spool.append("status", status="FINISHED")
    keeper.spool.sync()  # after completion.json nobody repeats a step
    if not sender.finish(LAST_DELIVERY_SECONDS):
        message("MLflow has not everything yet: `publish` or the next start sends the rest")
    keeper.confirm()
    proof = result.complete(paths, folder, callback.state, callback.rows, keeper.budget)
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
