"""certificate.json: what a published model was made of, and what was done to see that it is exactly that."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from runner.records import Record
from tools.formats.base import RelativePath, Sha256, Strict
from tools.formats.model import File

NAME = "certificate.json"


class Change(Strict):
    """One tensor that the adapter touched."""

    kind: str
    elements: Annotated[int, Field(ge=0)]
    changed: Annotated[
        int,
        Field(
            ge=0, description="Elements whose stored bits differ from the base's; of a copied model, all of a tensor"
        ),
    ]
    norm: Annotated[float | None, Field(description="Frobenius norm of what was added; None for a copied model")]


class Weights(Strict):
    """Every touched tensor beside peft's own merge of it in float32."""

    tensors: Annotated[int, Field(ge=0)]
    elements: Annotated[int, Field(ge=0)]
    different: Annotated[int, Field(ge=0, description="Elements that are not peft's bits after its one rounding")]
    worst: Annotated[float, Field(ge=0, description="Largest difference, in units of what is allowed: 1 is the limit")]


class Logits(Strict):
    """Merged against base + adapter under peft, both computed in float32, on fixed prompts.

    difference, tolerance: root mean square over all logits, relative to their standard deviation.
    """

    prompts: Annotated[int, Field(ge=1)]
    positions: Annotated[int, Field(ge=1)]
    difference: Annotated[float, Field(ge=0)]
    tolerance: Annotated[float, Field(gt=0)]
    largest: Annotated[float, Field(ge=0, description="Largest single difference, in the same units")]
    argmax_equal: Annotated[int, Field(ge=0, description="Positions with the same most likely token")]
    argmax_decided: Annotated[int, Field(ge=0, description="Positions where it leads by more than six tolerances")]
    argmax_wrong: Annotated[int, Field(ge=0, description="Of these, positions with another token")]


class Certificate(Record):
    """What certificate.json holds.

    method `copy`: a full fine-tuning has nothing merged; its files are those that completion.json proves, so there is
    nothing to compare logits with.
    """

    version: Literal[1]
    run_id: str
    run_sha256: Sha256
    method: Literal["merge", "copy"]
    dtype: str
    base: Annotated[dict[RelativePath, Sha256], Field(description="Files of the base model, as they were read")]
    trained: Annotated[dict[RelativePath, Sha256], Field(description="Files of the adapter, or of the trained model")]
    result: Annotated[dict[RelativePath, File], Field(min_length=1, description="Every file of the model")]
    changes: dict[str, Change]
    untouched: Annotated[int, Field(ge=0, description="Tensors that are the base's, byte for byte")]
    checks: Annotated[list[str], Field(description="What was compared besides, each found equal")]
    weights: Weights | None
    logits: Logits | None
    versions: dict[str, str]


def faults(certificate: Certificate) -> list[str]:
    """Why the certificate does not vouch for its model; empty when it does. Judged again by whoever reads it."""
    found = []
    if not any(change.changed for change in certificate.changes.values()):
        found.append("no element differs from the base model; allowed: a model that the training changed")
    weights, logits = certificate.weights, certificate.logits
    if certificate.method == "merge" and (weights is None or logits is None):
        found.append("weights and logits were not compared; allowed: a merge that was checked against peft")
    if weights is not None and weights.worst > 1:
        found.append(
            f"a merged weight is {weights.worst:.3g} times as far from peft's as rounding explains; allowed: 1"
        )
    if logits is not None and logits.difference > logits.tolerance:
        found.append(
            f"logits differ from those of base + adapter by {logits.difference:.3g} of their standard deviation; "
            f"allowed: {logits.tolerance:.3g} for {certificate.dtype}"
        )
    if logits is not None and logits.argmax_wrong:
        found.append(
            f"the most likely token differs at {logits.argmax_wrong} of {logits.positions} positions; allowed: 0"
        )
    return found
