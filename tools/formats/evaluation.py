"""`evaluation/<run id>/evaluation.json`: how base, candidate and champion did on the same held-out data, and the verdict.

The same content, shortened, is the tag `evaluation_result` of the registered version; the tag `evaluation` holds the verdict
alone. The runner writes both; who promotes, compares or reports reads them here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from tools.formats.base import Label, Sha256, Strict
from tools.formats.digest import digest

NAME = "evaluation.json"
# Tags of the registered version: the verdict (`passed`, `failed` or, where nothing was to be evaluated, `none`), and the result.
TAG, RESULT_TAG = "evaluation", "evaluation_result"
NONE = "none"
TAG_LENGTH = 8000  # MLflow's limit of a tag's value
MOST_FAILURES = 20
CONFIDENCE = 0.95

Role = Literal["base", "candidate", "champion"]
Verdict = Literal["passed", "failed"]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Name = Annotated[str, Field(max_length=100)]
Line = Annotated[str, Field(max_length=500)]


class Damaged(ValueError):  # noqa: N818 - a verdict on a file
    """The file is no evaluation, or was changed after it was written."""


class Score(Strict):
    """A metric, or a difference of one, with its 95 % confidence interval."""

    value: Finite
    low: Finite
    high: Finite


class Scored(Strict):
    """One model on the held-out rows."""

    role: Role
    name: Annotated[str, Field(max_length=255, description="Base: its name in the catalogue; else the registered name")]
    registered_version: Annotated[int | None, Field(ge=1, description="Of the champion, when it was scored")] = None
    run_id: Name | None = None
    run_sha256: Sha256 | None = None
    rows: Annotated[int, Field(ge=0, description="Rows scored")]
    seconds: Annotated[Finite, Field(ge=0, description="Time that its answers and probabilities took")]
    scores: Annotated[dict[Name, Score], Field(max_length=5, description="Metric -> value; shares are 0 to 1")]


class Comparison(Strict):
    """The candidate against another model, row by row (paired)."""

    against: Literal["base", "champion"]
    metric: Name
    difference: Annotated[Score, Field(description="Candidate minus the other; for perplexity less is better")]
    p_value: Annotated[float | None, Field(ge=0, le=1, description="Exact McNemar test; exact match only")] = None
    verdict: Annotated[
        Literal["better", "worse", "undecided"], Field(description="undecided: the interval of the difference holds 0")
    ]


class Behaved(Strict):
    """What the candidate did in one file of behaviours."""

    name: Label
    cases: Annotated[int, Field(ge=1)]
    failed_cases: Annotated[int, Field(ge=0)]
    failures: Annotated[list[Line], Field(max_length=MOST_FAILURES, description="Case and check, a sentence each")] = []


class Evaluation(Strict):
    """What evaluation.json holds.

    `checksum`: SHA-256 of the canonical JSON of everything else; empty in the tag.
    """

    version: Literal[1]
    run_id: Name
    run_sha256: Sha256
    model_name: Name
    verdict: Verdict
    reasons: Annotated[
        list[Line], Field(max_length=50, description="Why it failed, a sentence each; empty when it passed")
    ]
    notes: Annotated[list[Line], Field(max_length=50, description="What a reader should know besides")] = []
    decides_by: Annotated[Name, Field(description="The metric that base and champion are compared by")]
    datasets: Annotated[dict[Label, Sha256], Field(max_length=8, description="Held-out data: name -> SHA-256")]
    rows: Annotated[int, Field(ge=0, description="Held-out rows that every model was scored on")]
    rows_in_training: Annotated[int, Field(ge=0, description="Held-out rows left out: they are training rows too")] = 0
    models: Annotated[list[Scored], Field(max_length=3)]
    comparisons: Annotated[list[Comparison], Field(max_length=10)]
    behaviours: Annotated[list[Behaved], Field(max_length=4)] = []
    device: Annotated[str, Field(max_length=100)] = ""
    seconds: Annotated[Finite, Field(ge=0)] = 0.0
    finished_at: Name
    checksum: str = ""

    @property
    def champion(self) -> Scored | None:
        """The champion that the candidate was compared with; None where there was none then."""
        return next((model for model in self.models if model.role == "champion"), None)


def seal(evaluation: Evaluation) -> Evaluation:
    """The same, with its checksum."""
    return evaluation.model_copy(update={"checksum": _checksum(evaluation)})


def read(file: Path) -> Evaluation:
    """The evaluation in a file.

    Raises:
        FileNotFoundError: there is none.
        Damaged: it is not what was written.
    """
    try:
        found = Evaluation.model_validate_json(file.read_bytes())
    except ValidationError as error:
        raise Damaged(f"{file} is damaged: {error.errors(include_url=False)[0]['msg']}") from error
    if found.checksum != _checksum(found):
        raise Damaged(f"{file} is damaged: its checksum is not that of its content")
    return found


def tag(evaluation: Evaluation) -> str:
    """The value of RESULT_TAG: details of failed behaviours go first where it would be too long, then notes and reasons."""
    short = evaluation.model_copy(update={"checksum": ""})
    behaviours = [each.model_copy(update={"failures": []}) for each in evaluation.behaviours]
    first = [reason[:200] for reason in evaluation.reasons[:3]]
    updates: tuple[dict[str, object], ...] = (
        {},
        {"behaviours": behaviours},
        {"notes": []},
        {"reasons": first},
        {"comparisons": []},
    )
    for update in updates:
        short = short.model_copy(update=update)
        text = short.model_dump_json(exclude_defaults=True)
        if len(text) <= TAG_LENGTH:
            return text
    return ""


def from_tag(text: str) -> Evaluation | None:
    """The evaluation in a tag's value; None where it is none (whoever may write the model's tags may write anything there)."""
    try:
        return Evaluation.model_validate_json(text)
    except ValidationError:
        return None


def _checksum(evaluation: Evaluation) -> str:
    return digest(evaluation.model_copy(update={"checksum": ""}))
