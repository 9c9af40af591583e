"""Runs the comparison from its beginning to its verdict."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tools.errors import ToolFault
from tools.formats.lock import Lock
from tools.repository import Repository
from tools.reproduction import inputs, proof, rerun
from tools.reproduction.inputs import Difference
from tools.reproduction.proof import Proof
from tools.reproduction.source import Source

Verdict = Literal["equal", "different", "not comparable", "failed"]
_CODE = Path(__file__).resolve().parents[2]
# https://docs.pytorch.org/docs/stable/notes/randomness.html
ON_CPU = (
    "on a CPU the weights are the same bit for bit, given the same versions, processor type and number of threads "
    "(PyTorch's notes on reproducibility)"
)
ON_GPU = (
    "on GPUs sums are added in an order that changes from run to run, so weights differ slightly with the same versions, and "
    "more with others (PyTorch's notes on reproducibility); what counts is that metrics and evaluation agree"
)


@dataclass(frozen=True)
class Outcome:
    """What came of it. weights: as tools/reproduction/tensors.py gives it; metrics: name -> then and now."""

    source: Source
    verdict: Verdict
    differences: list[Difference]
    into: Path
    weights: dict[str, Any] | None = None
    metrics: dict[str, tuple[float | None, float | None]] = field(default_factory=dict)
    steps: tuple[int, int] | None = None

    @property
    def expectation(self) -> str:
        """What a second run of this one gives at best."""
        return ON_GPU if self.source.lock.run.resources.gpus else ON_CPU


def reproduce(
    repository: Repository, source: Source, storage: Path, into: Path, python: Path, *, verbose: bool = False
) -> Outcome:
    """Compare the inputs, train again, compare the results. Inputs that differ make another run: nothing is trained then.

    Raises:
        ToolFault: no proof of the original, no runner, no kustomize.
        UsageError: the folders lie in each other.
    """
    target = rerun.checked(storage, into)
    then = proof.read(storage, source.lock)
    differences = inputs.compare(source.lock, then, storage, python)
    if any(each.fatal for each in differences):
        return Outcome(source, "not comparable", differences, target)
    if not rerun.train(repository, source.lock, storage, target, python, verbose=verbose):
        return Outcome(source, "failed", differences, target)
    now = proof.read(target, source.lock)
    return _compared(source, differences, storage, target, (then, now), python)


def _compared(
    source: Source, differences: list[Difference], storage: Path, into: Path, proofs: tuple[Proof, Proof], python: Path
) -> Outcome:
    then, now = proofs
    weights = _weights(source.lock, storage, into, python)
    names = sorted(then.metrics.keys() | now.metrics.keys())
    steps = (then.steps_done, now.steps_done)
    same = weights["equal"] == weights["tensors"] > 0 and not weights["added"] and steps[0] == steps[1]
    return Outcome(
        source,
        "equal" if same else "different",
        differences,
        into,
        weights,
        {name: (then.metrics.get(name), now.metrics.get(name)) for name in names},
        steps,
    )


def _weights(lock: Lock, storage: Path, into: Path, python: Path) -> dict[str, Any]:
    folders = [str(proof.adapter(each, lock)) for each in (storage, into)]
    command = [str(python), "-m", "tools.reproduction.tensors", *folders]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(_CODE)}
        )
        found: dict[str, Any] = json.loads(done.stdout)
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ToolFault(f"the weights in {' and '.join(folders)} cannot be compared: {last}") from error
    return found
