"""`experiments/<tenant>/<name>.yaml`: one fine-tuning run, as a data scientist writes it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from tools.formats.base import Duration, Label, Login, Strict, Text

Stage = Literal["pt", "sft", "rm", "dpo", "kto"]
Method = Literal["lora", "qlora", "full"]
Priority = Literal["low", "normal", "high"]


class Resources(Strict):
    """What the training Job asks of the cluster."""

    gpus: Annotated[int, Field(ge=0, le=16, description="GPUs per node; 0 trains on the CPU (demo, tests)")] = 1
    nodes: Annotated[int, Field(ge=1, le=64, description="Nodes that train together")] = 1
    time_limit: Annotated[Duration, Field(description="Training stops at this time, for instance 30m, 8h or 2d")] = "8h"


class Publish(Strict):
    """Where the finished model goes."""

    model_name: Annotated[Label, Field(description="Registered as <tenant>.<model_name>")]
    merge: Annotated[bool, Field(description="false keeps the merge manual: `ft publish RUN_ID` later")] = True


class Experiment(Strict):
    """One experiment; its tenant and name are those of its path."""

    version: Annotated[Literal[1], Field(description="Version of this format")]
    description: Annotated[Text, Field(description="What the model is for, in a sentence")]
    owner: Annotated[Login, Field(description="GitLab user name of who answers for it")]
    environment: Annotated[Label | None, Field(description="Where it runs; the tenant's default when omitted")] = None
    model: Annotated[Label, Field(description="Base model: a file name of catalog/models/")]
    datasets: Annotated[
        list[Label], Field(min_length=1, max_length=32, description="Data: file names of the tenant's datasets/")
    ]
    stage: Annotated[
        Stage, Field(description="What is trained: continued pre-training, supervised, reward, DPO, KTO")
    ] = "sft"
    method: Annotated[Method, Field(description="Adapter, adapter on a 4-bit base, or all weights")]
    train: Annotated[dict[str, Any], Field(description="LLaMA Factory's own training arguments, verbatim")] = {}
    performance: Annotated[
        Literal["as-written", "auto"], Field(description="auto lets the platform choose batch, packing and kernels")
    ] = "as-written"
    resources: Resources = Resources()
    priority: Annotated[Priority, Field(description="Place in the queue; high needs a platform admin's approval")] = (
        "normal"
    )
    publish: Annotated[Publish | None, Field(description="Omit it to keep the adapter only")] = None
    state: Annotated[Literal["active", "cancelled"], Field(description="cancelled stops and removes it, for good")] = (
        "active"
    )
    attempt: Annotated[
        int, Field(ge=1, le=99, description="Raise it to run a failed experiment again from its checkpoints")
    ] = 1
