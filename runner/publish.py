"""`python -m runner publish`: merge, certify, describe, move into place, register.

Each step is skipped when its result is there and valid. `python -m runner certify` stops behind the second one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runner import completion, failures, placing, registry, tracking
from runner.completion import Completion
from runner.delivery import Delivery
from runner.evaluate import report, step
from runner.events import emit, message
from runner.exits import DONE, Mismatch, Retry, RunnerError, Stopped
from runner.signals import Sigterm, Termination
from runner.storage import Paths

STOPPED = Stopped(
    "stopped by SIGTERM; nothing half done is left", "run `publish` again: it goes on behind what is done"
)


def run(paths: Paths, *, manual: bool) -> int:
    """Publish a finished run.

    manual: do it although the experiment says `merge: false`.

    Raises:
        RunnerError: with the exit code.
    """
    return _ended(paths, lambda: _publish(paths, manual=manual))


def certify(paths: Paths) -> int:
    """Merge and certify a finished run, and leave both staged, where `publish` goes on.

    Raises:
        RunnerError: with the exit code.
    """
    return _ended(paths, lambda: _certify(paths))


def evaluate(paths: Paths, *, again: bool) -> int:
    """Evaluate a published run, and bring its registered version up to date; nothing where no evaluation was asked for.

    again: judge anew, for instance against a new champion.

    Raises:
        RunnerError: with the exit code.
    """
    return _ended(paths, lambda: _evaluate(paths, again=again))


def _ended(paths: Paths, work: Callable[[], None]) -> int:
    """Do the work, and give its exit code."""
    try:
        with Sigterm().installed():
            work()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - each ends in an exit code and a message
        failure = STOPPED if isinstance(error, Termination) else failures.explain(error, paths)
        failures.report(failure, error, None)
        return failure.exit_code
    return DONE


def _publish(paths: Paths, *, manual: bool) -> None:
    lock = paths.lock
    proof = _proof(paths)
    if lock.run.publish is not None and (lock.run.publish.merge or manual):
        folder = placing.place(paths, proof)
        mlflow, run_id = _replay(paths)
        found = step.evaluate(paths, mlflow)
        if found is not None:
            report.log(mlflow, run_id, found)
        evidence = {**placing.published_tag(paths), **report.tags(found)}
        version = registry.register(mlflow, lock, run_id, proof, evidence)
        emit("step", name="register", model=lock.run.publish.model_name, version=version)
        emit("finish", run_id=lock.run_id, path=str(folder), version=version)
        return
    _replay(paths)
    if lock.run.publish is None:
        message(f"the experiment has no publish section: the result is {paths.adapter}")
    else:
        message(f"merge is false: publish it by hand with `ft publish {lock.run_id}`")
    emit("finish", run_id=lock.run_id, path=str(paths.adapter), version=None)


def _certify(paths: Paths) -> None:
    if paths.lock.run.publish is None:
        message("the experiment has no publish section: there is nothing to merge or certify")
        return
    placing.stage(paths, _proof(paths))


def _evaluate(paths: Paths, *, again: bool) -> None:
    lock = paths.lock
    if lock.run.publish is None or lock.run.evaluation is None:
        message("the experiment asks for no evaluation: add `evaluation:` in a new experiment")
        return
    proof = completion.check(paths).completion
    if proof is None or not paths.merged.is_dir():
        raise Mismatch(f"{paths.merged} is not there", f"publish it first: `ft publish {lock.run_id}`")
    placing.verify(paths)
    mlflow, run_id = _replay(paths)
    found = step.evaluate(paths, mlflow, again=again)
    if found is not None:
        report.log(mlflow, run_id, found)
    version = registry.register(mlflow, lock, run_id, proof, report.tags(found))
    emit("finish", run_id=lock.run_id, path=str(paths.merged), version=version)


def _proof(paths: Paths) -> Completion:
    """What shows that the run has finished."""
    verdict = completion.check(paths)
    if verdict.completion is None:
        raise Mismatch(verdict.reason, "train the run to its end first: `python -m runner train` resumes it")
    return verdict.completion


def _replay(paths: Paths) -> tuple[Any, str]:
    """Send what training could not, and return the MLflow client and the id of the run."""
    uri, experiment = tracking.target(paths.lock)
    try:
        mlflow = tracking.client(uri)
        delivery = Delivery(paths.checkpoints, lambda: mlflow, experiment, paths.lock.run_id, paths.lock.sha256)
        delivery.deliver()
        return mlflow, delivery.run_id()
    except tracking.LoginRefused as error:
        raise Retry(f"MLflow at {uri} refuses the login: {error}", tracking.LOGIN_REMEDY) from error
    except tracking.Unreachable as error:
        raise Retry(
            f"MLflow at {uri} is away: {error}", "run `publish` again when it answers; what is done is kept"
        ) from error
    except tracking.Refused as error:
        raise RunnerError(f"MLflow at {uri} refuses: {error}", "read its log; then run `publish` again") from error
