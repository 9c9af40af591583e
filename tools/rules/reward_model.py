"""A reward model with tied embeddings is not trained with `method: full`.

LLaMA Factory 0.9.5 saves it as one state dict, in which the tied head stands twice, and stops there: at the first checkpoint,
after the GPUs have worked. With an adapter the base's weights are not saved.

Fails:

    stage: rm
    method: full  # of a model with tie_word_embeddings: true

Passes:

    stage: rm
    method: lora
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding
from tools.rules.subject import Subject

ID = "reward-model"
KIND = "experiment"
NEEDS = ("model", "stage", "method")


def check(subject: Subject) -> Iterator[Finding]:
    """Look at stage, method and the model's embeddings."""
    experiment, model = subject.experiment, subject.model
    if experiment.stage != "rm" or experiment.method != "full" or model is None:
        return
    if model.architecture.tie_word_embeddings:
        found = f"stage: rm with method: full, of {experiment.model}, whose embeddings are tied"
        yield subject.parsed.document.finding(("method",), ID, found, "lora or qlora", "write method: lora")
