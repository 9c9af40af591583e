"""An outcome as data (`--format json`) and as lines for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tools.reproduction.outcome import Outcome


def data(outcome: Outcome) -> dict[str, Any]:
    """Everything that was compared."""
    return {
        "run_id": outcome.source.lock.run_id,
        "sha256": outcome.source.lock.sha256,
        "lock": outcome.source.place,
        "verdict": outcome.verdict,
        "expected": outcome.expectation,
        "differences": [
            {"kind": each.kind, "name": each.name, "then": each.then, "now": each.now} for each in outcome.differences
        ],
        "weights": outcome.weights,
        "metrics": {name: {"then": then, "now": now} for name, (then, now) in outcome.metrics.items()},
        "steps": {"then": outcome.steps[0], "now": outcome.steps[1]} if outcome.steps else None,
        "into": str(outcome.into),
    }


def lines(outcome: Outcome) -> Iterator[str]:
    """The report for people: what differs in what went in, what came out, and what to make of it."""
    yield f"{outcome.source.lock.run_id}: lock from {outcome.source.place}"
    for each in outcome.differences:
        yield f"  {each.kind} {each.name} differs: then {each.then}, now {each.now}"
    if not outcome.differences:
        yield "  base model, data, image and versions are those of the lock and of completion.json"
    yield from _weights(outcome)
    for name, (then, now) in outcome.metrics.items():
        if then != now:
            yield f"  metric {name}: then {then}, now {now}"
    yield f"{outcome.verdict}: {_meaning(outcome)}"


def _weights(outcome: Outcome) -> Iterator[str]:
    found = outcome.weights
    if found is None or outcome.steps is None:
        return
    yield f"  {outcome.steps[1]} steps, then {outcome.steps[0]}; {found['equal']} of {found['tensors']} tensors are the same bit for bit"
    for key, words in (("missing", "missing now"), ("added", "not there then"), ("other_shape", "of another shape")):
        if found[key]:
            yield f"  {len(found[key])} tensors {words}, for instance {found[key][0]}"
    if found["where"]:
        largest = "not finite" if found["largest"] is None else f"{found['largest']:.3g}"
        relative = (
            "" if found["relative"] is None else f"; all differences are {found['relative']:.2%} of the weights (norms)"
        )
        yield f"  largest difference {largest} in {found['where']}{relative}"


def _meaning(outcome: Outcome) -> str:
    if outcome.verdict == "equal":
        return f"the second run gave the same weights; it lies in {outcome.into}"
    if outcome.verdict == "failed":
        return f"the second run did not finish; its log is below {outcome.into}/logs"
    if outcome.verdict == "not comparable":
        return (
            "what the run was made from is no longer there as it was; restore it (the hashes say what), then try again"
        )
    versions = [each for each in outcome.differences if each.kind in {"version", "image"}]
    if versions:
        packages = ", ".join(f"{each.name} {each.now} instead of {each.then}" for each in versions)
        return f"other software: {packages}; run it in the image of the lock to compare like with like. Expected: {outcome.expectation}"
    return f"expected: {outcome.expectation}"
