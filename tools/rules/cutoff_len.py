"""`cutoff_len` fits the model's context.

Positions beyond what the model was trained for give noise, or an index error on the GPU. `rope_scaling` stretches the
context and is taken at its word.

Fails:

    train: {cutoff_len: 16384}      # the model's context is 8192

Passes:

    train: {cutoff_len: 8192}
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding
from tools.llamafactory.table import arguments
from tools.rules.subject import Subject

ID = "cutoff-len"
KIND = "experiment"
NEEDS = ("model", "train")


def check(subject: Subject) -> Iterator[Finding]:
    """Compare the cutoff, or LLaMA Factory's default, with the model's context."""
    mentioned = "cutoff_len" in subject.experiment.train
    if subject.model is None or subject.train.get("rope_scaling") or (mentioned and "cutoff_len" not in subject.train):
        return
    longest = subject.model.architecture.max_position_embeddings
    cutoff = subject.train.get("cutoff_len", arguments()["cutoff_len"].default)
    if cutoff > longest:
        where = ("train", "cutoff_len") if mentioned else ("model",)
        found = f"cutoff_len is {cutoff}{'' if mentioned else ' by default'}; {subject.experiment.model} has {longest}"
        remedy = f"write cutoff_len: {longest} or less"
        yield subject.parsed.document.finding(where, ID, found, f"at most {longest} tokens", remedy)
