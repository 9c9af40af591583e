"""The step between the published folder and its registration: score, compare, judge, and keep the verdict."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from runner.evaluate import contenders, needs, verdict
from runner.evaluate.contenders import Contender
from runner.evaluate.rows import HeldOut, held_out
from runner.evaluate.scoring import Measured, comparison, measured
from runner.evaluate.session import OutOfTime, Session
from runner.events import emit, message
from runner.exits import BadSpec, RunnerError
from runner.hashing import write_json
from runner.storage import Paths, exclusive, scratch_folder
from runner.trainer import prepare
from tools.formats.evaluation import NAME, Behaved, Comparison, Damaged, Evaluation, Role, Scored, read, seal
from tools.formats.experiment import Metric
from tools.formats.lock import LockedEvaluation

LOCK = ".evaluate.lock"
# The champion's last: where time runs out, candidate and base are there for the next go.
_OTHERS: tuple[Literal["base", "champion"], ...] = ("base", "champion")


def folder(paths: Paths) -> Path:
    """Where predictions and the verdict lie: outside of `output`, so that no training pod can write them."""
    return paths.storage / "evaluation" / paths.lock.run_id


def evaluate(paths: Paths, mlflow: Any, *, again: bool = False) -> Evaluation | None:
    """The run's evaluation, made unless it is there; None where the experiment asks for none.

    again: judge anew, for instance against a new champion; answers that are there and still those asked for are kept.

    Raises:
        RunnerError: the infrastructure failed (MLflow, storage); trying again may help. A model that is not good enough, or
            cannot be scored, is a verdict and no exception.
    """
    wanted = paths.lock.run.evaluation
    if wanted is None:
        return None
    home = folder(paths)
    home.mkdir(parents=True, exist_ok=True)
    with exclusive(home / LOCK, wait=True):
        found = None if again else there(paths)
        skipped = found is not None
        if found is None:
            found = seal(_made(paths, wanted, mlflow, home))
            write_json(home / NAME, found.model_dump(mode="json"))
    emit("step", name="evaluate", skipped=skipped, verdict=found.verdict, reasons=found.reasons, path=str(home))
    return found


def there(paths: Paths) -> Evaluation | None:
    """The run's evaluation that is there and valid; None otherwise."""
    file = folder(paths) / NAME
    try:
        found = read(file)
    except FileNotFoundError:
        return None
    except Damaged as error:
        message(f"{error}: evaluated again")
        return None
    return found if found.run_sha256 == paths.lock.sha256 else None


def _made(paths: Paths, wanted: LockedEvaluation, mlflow: Any, home: Path) -> Evaluation:
    started = time.monotonic()
    blank = _blank(paths, wanted)
    try:
        needs.check(paths.lock)
        champion = contenders.champion(paths, mlflow)
        with scratch_folder() as scratch:
            prepare(scratch)
            data = held_out(paths, wanted.datasets, wanted.max_rows, scratch)
            found = _judged(paths, wanted, home, data, champion, blank)
    except (BadSpec, contenders.Unavailable, OutOfTime, NoRows) as error:
        found = _failed(blank, str(error))
    except (RunnerError, OSError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - a model that cannot be scored must not keep its version from the registry
        traceback.print_exc(file=sys.stderr)
        found = _failed(blank, f"it could not be scored: {type(error).__name__}: {error}")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return found.model_copy(update={"seconds": round(time.monotonic() - started, 1), "finished_at": now})


class NoRows(Exception):  # noqa: N818 - a verdict on the data
    """There is nothing to score the models on."""


def _judged(
    paths: Paths, wanted: LockedEvaluation, home: Path, data: HeldOut, champion: Contender | None, blank: Evaluation
) -> Evaluation:
    if not data.rows:
        raise NoRows("no held-out row is left: each has no answer, or is a training row too; hold other rows out")
    session = Session(paths, wanted, home, data.rows)
    models: list[Scored] = []
    metrics: dict[Role, dict[Metric, Measured]] = {}
    behaved: list[Behaved] = []
    for contender in filter(None, (contenders.base(paths), contenders.candidate(paths), champion)):
        predictions, behaviours, seconds = session.ask(contender)
        behaved += behaviours
        expected = [row.expected for row in data.rows]
        metrics[contender.role] = {name: measured(name, predictions, expected) for name in wanted.metrics}
        models.append(_scored(contender, metrics[contender.role], len(predictions), seconds))
    compared, notes = _compared(metrics)
    by = blank.decides_by
    scores = next(model.scores for model in models if model.role == "candidate")
    reasons = verdict.reasons(wanted.passes, by, scores, compared, behaved)
    if champion is not None and not any(each.against == "champion" and each.metric == by for each in compared):
        reasons.append(f"{by} cannot be compared with the champion's: it counts other tokens; decide by another metric")
    return blank.model_copy(
        update={
            "verdict": "failed" if reasons else "passed",
            "reasons": reasons,
            "notes": [*notes, *_data_notes(data, champion)],
            "rows": len(data.rows),
            "rows_in_training": data.trained_on or 0,
            "models": models,
            "comparisons": compared,
            "behaviours": behaved,
            "device": session.device,
        }
    )


def _scored(contender: Contender, metrics: Mapping[Metric, Measured], rows: int, seconds: float) -> Scored:
    return Scored(
        role=contender.role,
        name=contender.name,
        registered_version=contender.version,
        run_id=contender.run_id,
        run_sha256=contender.run_sha256,
        rows=rows,
        seconds=round(seconds, 1),
        scores={name: each.score for name, each in metrics.items()},
    )


def _compared(metrics: Mapping[Role, Mapping[Metric, Measured]]) -> tuple[list[Comparison], list[str]]:
    """The candidate against all others in every metric, and what could not be compared."""
    found, notes = [], []
    for role in _OTHERS:
        for name, other in metrics.get(role, {}).items():
            compared = comparison(metrics["candidate"][name], other, role)
            if compared is None:
                notes.append(f"{name} of the {role} counts other tokens than the candidate's: not compared")
            else:
                found.append(compared)
    return found, notes


def _data_notes(data: HeldOut, champion: Contender | None) -> Sequence[str]:
    notes = []
    if data.trained_on is None:
        notes.append("the training data is too large here to look for held-out rows in it")
    elif data.trained_on:
        notes.append(f"{data.trained_on} held-out rows are training rows too: left out of every score")
    if champion is None:
        notes.append("there was no champion to compare with")
    return notes


def _blank(paths: Paths, wanted: LockedEvaluation) -> Evaluation:
    lock = paths.lock
    assert lock.run.publish is not None
    return Evaluation(
        version=1,
        run_id=lock.run_id,
        run_sha256=lock.sha256,
        model_name=lock.run.publish.model_name,
        verdict="failed",
        reasons=[],
        decides_by=wanted.passes.by or wanted.metrics[0],
        datasets={dataset.name: dataset.sha256 for dataset in wanted.datasets},
        rows=0,
        models=[],
        comparisons=[],
        finished_at="",
    )


def _failed(blank: Evaluation, reason: str) -> Evaluation:
    return blank.model_copy(update={"reasons": [" ".join(reason.split())[:500]]})
