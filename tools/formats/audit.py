"""`audit/<env>/<tenant>/<run id>.yaml`: who allowed a run, on what content, and what came of it. Only the bot writes it.

The record outlives the overlay. Each attempt of a run has an authorization of its own, and an outcome once it is over; a
measured outcome replaces the attempt's time limit in the tenant's GPU-hours of the month (tools/audits.py).

Only `gpu_hours` of what is measured is Kubernetes' word, and it alone counts against quota and cost. Peak memory, idle share,
tokens and training hours are what the run logged to MLflow, where the tenant's own credential can write: they are bounded,
shown and learnt from within bounds (tools/predict), and nothing is decided by them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tools.formats.base import Label, RelativePath, Sha256, Strict
from tools.formats.experiment import Method
from tools.formats.lock import Lock
from tools.formats.people import Person

Timestamp = Annotated[
    str,
    Field(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$",
        description="ISO 8601, UTC, whole seconds: 2026-11-23T08:15:00Z",
    ),
]
Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$", description="A commit's full id")]
Result = Literal["finished", "failed", "cancelled"]
MOST_HOURS, MOST_PRICE = 1e9, 1e6  # so that no sum of the books overflows
MOST_TOKENS = 10**15  # beyond every corpus: who logs more logs nonsense


def _absent(found: object) -> bool:
    """Left out where unknown: records from before a field existed keep their bytes."""
    return found is None


class Approval(Strict):
    """One approval that counted."""

    user: Person
    at: Timestamp
    role: Annotated[Literal["approver", "admin"], Field(description="The tenant's approver, or a platform admin")]


class Price(Strict):
    """What a GPU-hour cost when an attempt was authorized: catalog/gpus.yaml may change, what was agreed does not."""

    per_gpu_hour: Annotated[float, Field(ge=0, le=MOST_PRICE, description="0 without GPUs")]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217 code")]


class Authorization(Strict):
    """Why an attempt was allowed to run, and at what price."""

    at: Annotated[Timestamp, Field(description="When the bot decided")]
    merge_request: Annotated[int, Field(ge=1)]
    merged_at: Timestamp
    merged_by: Person | None
    author: Person
    commit: Annotated[Commit, Field(description="Commit on main that holds the approved experiment")]
    required_approvals: Annotated[int, Field(ge=1, description="By the tenant's approvers, as tenant.yaml was before")]
    approvals: Annotated[list[Approval], Field(min_length=1)]
    price: Annotated[Price | None, Field(exclude_if=_absent)] = None


class Predicted(Strict):
    """Peak memory and training time of one GPU, by the formulas alone and as past runs corrected them (tools/predict)."""

    formulas: Annotated[int, Field(ge=1, description="Version of the formulas: pairs of another one teach nothing")]
    formula_peak_bytes: Annotated[int, Field(ge=1)]
    peak_bytes: Annotated[int, Field(ge=1, description="What was to be expected, as corrected")]
    formula_hours: Annotated[
        float | None, Field(gt=0, le=MOST_HOURS, description="Middle of the range; None: no steps")
    ]
    hours: Annotated[float | None, Field(gt=0, le=MOST_HOURS, description="What was to be expected, as corrected")]
    seen: Annotated[int, Field(ge=0, description="Finished runs of the same model and GPU that were known")]


class Estimated(Strict):
    """What the plan said when the run was authorized."""

    gpus: Annotated[int, Field(ge=0, description="GPUs x nodes that it holds while it runs")]
    gpu_hours_limit: Annotated[
        float, Field(ge=0, le=MOST_HOURS, description="Time limit x GPUs x nodes: counted until measured")
    ]
    gpu_hours_low: Annotated[float | None, Field(ge=0, description="None without GPUs")]
    gpu_hours_high: Annotated[float | None, Field(ge=0, description="None without GPUs")]
    peak_memory_bytes: Annotated[int, Field(ge=0, description="Of one GPU, of the container without GPUs")]
    predicted: Annotated[Predicted | None, Field(exclude_if=_absent, description="None without GPUs")] = None


class Measured(Strict):
    """What an attempt really took."""

    gpu_hours: Annotated[float, Field(ge=0, le=MOST_HOURS, description="Hours that its pods ran, times their GPUs")]
    peak_memory_bytes: Annotated[int | None, Field(ge=0, description="As the runner logged it; None if it did not")]
    idle_share: Annotated[
        float | None,
        Field(
            ge=0, le=1, allow_inf_nan=False, exclude_if=_absent, description="1 - mean GPU utilisation while it trained"
        ),
    ] = None
    tokens: Annotated[
        int | None,
        Field(ge=0, le=MOST_TOKENS, exclude_if=_absent, description="Trained on by the run up to this attempt's end"),
    ] = None
    training_hours: Annotated[
        float | None,
        Field(
            ge=0, allow_inf_nan=False, exclude_if=_absent, description="Mean time of a step x the run's steps; finished"
        ),
    ] = None


class Registered(Strict):
    """The model version that came of the run."""

    name: Annotated[str, Field(min_length=1, max_length=100, description="<tenant>.<model_name>")]
    version: Annotated[int, Field(ge=1)]
    publication: Annotated[Sha256 | None, Field(exclude_if=_absent, description="SHA-256 of its publication.json")] = (
        None
    )
    evaluation: Annotated[
        Literal["passed", "failed", "none"] | None,
        Field(exclude_if=_absent, description="Verdict of its evaluation; none: it has none"),
    ] = None


class Outcome(Strict):
    """How an attempt ended."""

    result: Result
    at: Annotated[Timestamp, Field(description="When it ended; when the bot saw it where the cluster does not say")]
    cause: Annotated[str | None, Field(max_length=1000, description="Why it failed; None when it did not")]
    measured: Annotated[Measured | None, Field(description="None where nothing could be measured: the limit counts")]
    registered: Annotated[Registered | None, Field(description="None where nothing is, or not yet, registered")]


class Attempt(Strict):
    """One attempt: its authorization, and its outcome once it is over."""

    attempt: Annotated[int, Field(ge=1, le=99)]
    authorized: Authorization
    outcome: Outcome | None


class Hashes(Strict):
    """What was approved, by content."""

    experiment: Annotated[Sha256, Field(description="Of the experiment file's bytes at the first authorization")]
    image: Annotated[str, Field(pattern=r"@sha256:[0-9a-f]{64}$", description="Runner image by digest")]
    model: Annotated[dict[RelativePath, Sha256], Field(description="Base model: file -> SHA-256")]
    datasets: Annotated[dict[Label, Sha256], Field(description="Dataset -> SHA-256")]


class Trained(Strict):
    """What kind of run it is, by the names of the catalogue."""

    model: Annotated[Label, Field(description="catalog/models/<model>.yaml")]
    gpu: Annotated[Label | None, Field(description="GPU type in catalog/gpus.yaml; None on the CPU")]
    method: Method


class Audit(Strict):
    """One run in one environment, from its authorization to the removal of its overlay."""

    version: Annotated[Literal[1], Field(description="Version of this format")]
    run_id: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?-[0-9a-f]{8}$", max_length=49)]
    sha256: Annotated[Sha256, Field(description="Full hash of the lock, which is the run's identity")]
    tenant: Label
    environment: Label
    experiment: Annotated[Label, Field(description="experiments/<tenant>/<experiment>.yaml")]
    hashes: Hashes
    trained: Annotated[Trained | None, Field(exclude_if=_absent)] = None
    estimated: Estimated
    attempts: Annotated[list[Attempt], Field(min_length=1, description="In the order of their numbers")]
    retired_at: Annotated[
        Timestamp | None, Field(description="When the bot removed the overlay of the run that had ended")
    ]

    @property
    def last(self) -> Attempt:
        """The newest attempt."""
        return self.attempts[-1]

    @property
    def file(self) -> str:
        """Where the record lies, relative to the repository's root."""
        return path(self.environment, self.tenant, self.run_id)


def path(environment: str, tenant: str, run_id: str) -> str:
    """`audit/<env>/<tenant>/<run id>.yaml`."""
    return f"audit/{environment}/{tenant}/{run_id}.yaml"


def path_of(lock: Lock) -> str:
    """Where the record of a lock's run lies."""
    return path(lock.run.environment, lock.run.tenant, lock.run_id)


def hashes(lock: Lock, experiment_sha256: str) -> Hashes:
    """The hashes of a lock; `experiment_sha256` is that of the experiment file's bytes."""
    return Hashes(
        experiment=experiment_sha256,
        image=lock.run.image,
        model={name: file.sha256 for name, file in lock.run.model.files.items()},
        datasets={dataset.name: dataset.sha256 for dataset in lock.run.datasets},
    )
