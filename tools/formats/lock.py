"""`overlays/<env>/<tenant>/<name>/run.yaml`: the lock, one run completely resolved.

The run id and every comparison come from the SHA-256 of the `run` part in canonical JSON; `attempt`, `state` and
`authorized` stand outside it, so that a retry, a cancellation or the bot's signature never make another run.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from tools.formats.base import Label, Login, RelativePath, Sha256, Strict
from tools.formats.behaviour import Behaviour
from tools.formats.digest import digest
from tools.formats.environment import Patience
from tools.formats.experiment import Metric, Passes
from tools.formats.model import File, Source

HASH_IN_NAME = 8


class Authorized(Strict):
    """Who allowed the run; written by the bot."""

    at: Annotated[str, Field(description="Time of the merge, ISO 8601, UTC")]
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$", description="Commit on main that holds the experiment")]
    merge_request: Annotated[int, Field(ge=1)]
    approvers: Annotated[list[Login], Field(min_length=1)]


class LockedModel(Strict):
    """The base model and the hashes of its files."""

    name: Label
    path: RelativePath
    template: str
    dtype: Literal["float32", "float16", "bfloat16"]
    source: Source
    licence: str
    files: dict[RelativePath, File]


class LockedDataset(Strict):
    """One dataset, its hash and how LLaMA Factory reads it."""

    name: Label
    path: RelativePath
    format: Literal["alpaca", "sharegpt", "openai"]
    ranking: bool
    columns: dict[str, str]
    tags: dict[str, str]
    sha256: Sha256
    rows: Annotated[int, Field(ge=1)]


class LockedMlflow(Strict):
    """Where the run logs."""

    tracking_uri: str
    experiment: str


class LockedPublish(Strict):
    """What the finished model is registered as."""

    model_name: Annotated[str, Field(description="<tenant>.<model_name>")]
    merge: bool
    # Left out where nothing is signed: locks from before it existed keep their bytes and hashes.
    signed: Annotated[
        bool, Field(exclude_if=lambda signed: not signed, description="Whether an unsigned model must not be published")
    ] = False


class LockedResources(Strict):
    """What the Job asks for."""

    gpus: Annotated[int, Field(ge=0)]
    nodes: Annotated[int, Field(ge=1)]
    time_limit_seconds: Annotated[int, Field(ge=60)]
    # Left out without GPUs, and in locks from before it existed, which keep their bytes and hashes.
    gpu_memory_gib: Annotated[
        float | None,
        Field(gt=0, exclude_if=lambda found: found is None, description="Of one GPU, as the environment's type has it"),
    ] = None


class LockedStorage(Strict):
    """The claims that the Job mounts."""

    claim: Label
    base_models_claim: Label


class LockedEvaluation(Strict):
    """What the published model is scored on, and what it must reach."""

    datasets: list[LockedDataset]
    metrics: list[Metric]
    behaviours: Annotated[dict[Label, Behaviour], Field(description="Content of the tenant's files, by their names")]
    max_rows: Annotated[int, Field(ge=1)]
    max_new_tokens: Annotated[int, Field(ge=1)]
    time_limit_seconds: Annotated[int, Field(ge=60)]
    passes: Passes


class LockedProbe(Strict):
    """The range in which the runner may try what is quickest; a step's rows stay, since accumulation follows the micro-batch."""

    seconds: Annotated[int, Field(ge=1, description="How long the probe may take, at most")]
    per_device_train_batch_size: list[int]
    disable_gradient_checkpointing: list[bool]


class LockedPerformance(Strict):
    """What the platform chose for `performance: auto`; the chosen values themselves stand in `settings`."""

    as_written: Annotated[
        dict[str, Any], Field(description="Changed setting -> what the author's file means by itself")
    ]
    expected_gain: Annotated[float, Field(gt=0, description="How many times as fast as written, by the formulas")]
    reasons: list[str]
    # Left out where they say nothing: locks from before they existed keep their bytes and hashes.
    fused: Annotated[
        bool,
        Field(
            description="The runner's own parts: fused attention and LoRA layers; on a CPU a head over labelled tokens",
            exclude_if=lambda found: not found,
        ),
    ] = False
    probe: Annotated[LockedProbe | None, Field(exclude_if=lambda found: found is None)] = None


class LockedRun(Strict):
    """Everything that decides what a run does; its hash is the run's identity."""

    tenant: Label
    environment: Label
    name: Label
    namespace: Label
    base: str
    image: str
    experiment: dict[str, Any]
    model: LockedModel
    datasets: list[LockedDataset]
    settings: dict[str, Any]
    mlflow: LockedMlflow
    storage: LockedStorage
    node_selector: dict[str, str]
    priority: Literal["low", "normal", "high"]
    kueue: bool
    publish: LockedPublish | None
    resources: LockedResources
    uid: int
    gid: int
    # Left out where there is none: locks from before it existed keep their bytes and hashes.
    evaluation: Annotated[LockedEvaluation | None, Field(exclude_if=lambda found: found is None)] = None
    performance: Annotated[LockedPerformance | None, Field(exclude_if=lambda found: found is None)] = None
    patience: Annotated[Patience | None, Field(exclude_if=lambda found: found is None)] = None


class Lock(Strict):
    """One run with its identity."""

    version: Literal[1]
    run_id: str
    sha256: Sha256
    attempt: Annotated[int, Field(ge=1)]
    state: Literal["active", "cancelled"]
    authorized: Authorized | None
    run: LockedRun

    @property
    def job_name(self) -> str:
        """Name of the training Job: each attempt is a Job of its own."""
        return f"{self.run_id}-a{self.attempt}"

    @property
    def model_folder(self) -> str | None:
        """Folder of the published model below /storage/models/merged-model/, or None when the adapter is the result."""
        if self.run.publish is None:
            return None
        return f"{self.run.publish.model_name.partition('.')[2]}/{self.run_id}"


def seal(run: LockedRun, *, attempt: int, state: Literal["active", "cancelled"], authorized: Authorized | None) -> Lock:
    """The lock of a run, with run id and hash computed."""
    sha256 = digest(run)
    run_id = f"{run.name}-{sha256[:HASH_IN_NAME]}"
    return Lock(version=1, run_id=run_id, sha256=sha256, attempt=attempt, state=state, authorized=authorized, run=run)


def is_sealed(lock: Lock) -> bool:
    """Whether the lock's hash and run id are those of its content."""
    sha256 = digest(lock.run)
    return lock.sha256 == sha256 and lock.run_id == f"{lock.run.name}-{sha256[:HASH_IN_NAME]}"
