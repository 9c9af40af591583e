"""Asks one model after the other, within the evaluation's time, and keeps what it answers."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from runner.evaluate import checks
from runner.evaluate.answering import Answering
from runner.evaluate.contenders import Contender
from runner.evaluate.predictions import Prediction, Predictions
from runner.evaluate.rows import Row
from runner.events import emit
from runner.hashing import write_json
from runner.storage import Paths
from tools.formats.evaluation import MOST_FAILURES, Behaved
from tools.formats.lock import LockedEvaluation

T = TypeVar("T")

_ROWS_AT_ONCE = {"cpu": 8, "cuda": 32}
BEHAVIOURS = "behaviours.json"


class OutOfTime(Exception):  # noqa: N818 - a verdict
    """`evaluation.time_limit` is over; the message says how far it came."""


@dataclass
class Session:
    """One evaluation at work in its folder.

    spent: seconds that answers took so far, those of interrupted goes included.
    """

    paths: Paths
    wanted: LockedEvaluation
    folder: Path
    rows: Sequence[Row]
    spent: float = 0.0
    device: str = ""
    _gpu: bool = field(init=False)

    def __post_init__(self) -> None:
        self._gpu = self.paths.lock.run.resources.gpus > 0

    def ask(self, contender: Contender) -> tuple[list[Prediction], list[Behaved], float]:
        """All rows of one model and, of the candidate, the behaviours; with the seconds that the rows took.

        Raises:
            OutOfTime: the time limit came first. Whatever loading and running the model raises passes through.
        """
        kept = Predictions(self.folder, contender.role, self._identity(contender))
        order = sorted(range(len(self.rows)), key=lambda index: (self.rows[index].length, index))
        size = _ROWS_AT_ONCE["cuda" if self._gpu else "cpu"]
        batches = [order[start : start + size] for start in range(0, len(order), size)]
        self.spent += kept.seconds
        model: Answering | None = None
        behaved: list[Behaved] = []
        try:
            for number, batch in enumerate(batches):
                if kept.has(number):
                    continue
                self._in_time(f"{contender.role}: {len(kept.all())} of {len(self.rows)} rows")
                model = model or self._load(contender)
                found, seconds = _timed(partial(self._batch, model, batch))
                kept.add(number, seconds, found)
                self.spent += seconds
                emit("evaluate", model=contender.role, rows=len(kept.all()), of=len(self.rows))
            if contender.role == "candidate" and self.wanted.behaviours:
                model = model or self._load(contender)
                behaved = self._behaviours(model)
        finally:
            if model is not None:
                model.close()
        return kept.all(), behaved, kept.seconds

    def _batch(self, model: Answering, batch: Sequence[int]) -> list[Prediction]:
        """A model's predictions for some rows: what the wanted metrics need, and no more."""
        encoded = [model.encode(self.rows[index]) for index in batch]
        likely = "perplexity" in self.wanted.metrics
        answers: Sequence[str | None] = [None] * len(batch)
        if {"perplexity"} != set(self.wanted.metrics):
            answers = model.answers([prompt for prompt, _ in encoded], self.wanted.max_new_tokens)
        surprises = model.surprises(encoded) if likely else [(0.0, 0)] * len(batch)
        return [Prediction(*each[:2], *each[2]) for each in zip(batch, answers, surprises, strict=True)]

    def _behaviours(self, model: Answering) -> list[Behaved]:
        found, texts = [], {}
        for name, behaviour in self.wanted.behaviours.items():
            failed = []
            for case in behaviour.cases:
                self._in_time(f"behaviour {name}: before the case {case.name}")
                row = Row((("user", case.prompt),), "", case.system or "", "")
                prompt, _ = model.encode(row)
                (answer,), seconds = _timed(partial(model.answers, [prompt], case.max_new_tokens))
                self.spent += seconds
                texts[f"{name}/{case.name}"] = {"answer": answer, "seconds": round(seconds, 3)}
                failed.append(checks.failures(case, answer, seconds, behaviour.refusal_phrases))
            wrong = [text for texts_of_case in failed for text in texts_of_case]
            found.append(
                Behaved(
                    name=name,
                    cases=len(behaviour.cases),
                    failed_cases=sum(map(bool, failed)),
                    failures=wrong[:MOST_FAILURES],
                )
            )
        write_json(self.folder / BEHAVIOURS, texts)
        return found

    def _load(self, contender: Contender) -> Answering:
        run = self.paths.lock.run
        emit("evaluate", model=contender.role, name=contender.run_id or contender.name, rows=0, of=len(self.rows))
        model = Answering(contender.folder, contender.template, run.settings, run.model.dtype, gpu=self._gpu)
        self.device = model.name
        return model

    def _in_time(self, place: str) -> None:
        if self.spent >= self.wanted.time_limit_seconds:
            raise OutOfTime(f"time_limit of {self.wanted.time_limit_seconds} s is over at {place}")

    def _identity(self, contender: Contender) -> str:
        """Everything that the model's answers depend on."""
        content = {
            "files": {name: file.sha256 for name, file in contender.files.items()},
            "template": contender.template,
            "settings": self.paths.lock.run.settings,
            "rows": [row.key for row in self.rows],
            "metrics": sorted(self.wanted.metrics),
            "max_new_tokens": self.wanted.max_new_tokens,
            "gpu": self._gpu,
            "versions": {name: version(name) for name in ("torch", "transformers", "llamafactory")},
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _timed(function: Callable[[], list[T]]) -> tuple[list[T], float]:
    started = time.monotonic()
    found = function()
    return found, time.monotonic() - started
