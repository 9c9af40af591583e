"""`experiments/<tenant>/<name>.yaml`: one fine-tuning run, as a data scientist writes it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from tools.formats.base import Duration, Label, Login, Strict, Text

Stage = Literal["pt", "sft", "rm", "dpo", "kto"]
Method = Literal["lora", "qlora", "full"]
Priority = Literal["low", "normal", "high"]
Metric = Literal["exact_match", "rouge_l", "perplexity", "llamafactory_rouge_l", "llamafactory_bleu_4"]
Threshold = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Resources(Strict):
    """What the training Job asks of the cluster."""

    gpus: Annotated[int, Field(ge=0, le=16, description="GPUs per node; 0 trains on the CPU (demo, tests)")] = 1
    nodes: Annotated[int, Field(ge=1, le=64, description="Nodes that train together")] = 1
    time_limit: Annotated[Duration, Field(description="Training stops at this time, for instance 30m, 8h or 2d")] = "8h"


class Publish(Strict):
    """Where the finished model goes."""

    model_name: Annotated[Label, Field(description="Registered as <tenant>.<model_name>")]
    merge: Annotated[bool, Field(description="false keeps the merge manual: `ft publish RUN_ID` later")] = True


class Passes(Strict):
    """What an evaluation must find for the model to be proposed for promotion."""

    by: Annotated[
        Metric | None,
        Field(description="Metric that base and champion are compared by; the first of metrics when omitted"),
    ] = None
    better_than_base: Annotated[
        bool, Field(description="The 95 % interval of the difference from the base model lies on the better side of 0")
    ] = True
    not_worse_than_champion: Annotated[
        bool, Field(description="The interval of the difference from the champion is not all on the worse side of 0")
    ] = True
    minimum: Annotated[
        dict[Metric, Threshold], Field(description="Metric -> least value, for instance exact_match: 0.8")
    ] = {}
    maximum: Annotated[dict[Metric, Threshold], Field(description="Metric -> greatest value, for perplexity")] = {}


class Evaluation(Strict):
    """Held-out data and behaviours that base, candidate and champion are scored on before a promotion."""

    datasets: Annotated[
        list[Label],
        Field(
            min_length=1,
            max_length=8,
            description="Held-out data: file names of the tenant's datasets/, not trained on",
        ),
    ]
    metrics: Annotated[list[Metric], Field(min_length=1, max_length=5, description="What is measured")] = [
        "exact_match",
        "rouge_l",
        "perplexity",
    ]
    behaviours: Annotated[
        list[Label], Field(max_length=4, description="Tests of the answers: file names of the tenant's behaviours/")
    ] = []
    max_rows: Annotated[
        int, Field(ge=1, le=5000, description="Rows that are scored, spread evenly over the held-out data")
    ] = 500
    max_new_tokens: Annotated[int, Field(ge=1, le=2048, description="Longest answer, tokens")] = 128
    time_limit: Annotated[
        Duration, Field(description="Answering stops at this time; what is not scored by then fails the evaluation")
    ] = "1h"
    passes: Passes = Passes()


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
        Literal["as-written", "auto"],
        Field(description="auto: the platform splits the batch, packs rows and uses memory for speed"),
    ] = "as-written"
    resources: Resources = Resources()
    priority: Annotated[Priority, Field(description="Place in the queue; high needs a platform admin's approval")] = (
        "normal"
    )
    publish: Annotated[Publish | None, Field(description="Omit it to keep the adapter only")] = None
    evaluation: Annotated[
        Evaluation | None, Field(description="How the published model is scored; omit it to register it unscored")
    ] = None
    state: Annotated[Literal["active", "cancelled"], Field(description="cancelled stops and removes it, for good")] = (
        "active"
    )
    attempt: Annotated[
        int, Field(ge=1, le=99, description="Raise it to run a failed experiment again from its checkpoints")
    ] = 1
