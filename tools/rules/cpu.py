"""`gpus: 0` trains on CPUs, on few nodes and in a way that a CPU can.

Quantised weights, fp16, pure bf16, TF32, Liger's kernels and optimisers in 8 bits exist on GPUs only; LLaMA Factory or transformers
stops at start. Several CPU nodes are for trying out what several GPU nodes will do.

Fails:

    resources: {gpus: 0}
    method: qlora

Passes:

    resources: {gpus: 0}
    method: lora
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding, quote
from tools.rules.subject import Subject

ID = "cpu"
KIND = "experiment"
NEEDS = ("resources.gpus",)
# Source: llamafactory/hparams/parser.py, get_train_args; transformers/training_args.py; accelerate for fp16.
_GPU_ONLY = ("fp16", "pure_bf16", "tf32", "fp16_full_eval", "enable_liger_kernel", "use_liger_kernel")
# As many as a tenant's quota leaves for pods without a GPU (tools/expand/tenant_sizes.py).
_MOST_NODES = 4
_GPU_OPTIMISERS = ("8bit", "paged_", "bnb", "lion_32bit", "rmsprop_", "ademamix")


def check(subject: Subject) -> Iterator[Finding]:
    """Look for what needs a GPU."""
    experiment, usable, document = subject.experiment, subject.parsed.usable, subject.parsed.document
    if experiment.resources.gpus != 0:
        return
    if usable("resources.nodes") and experiment.resources.nodes > _MOST_NODES:
        found = f"{experiment.resources.nodes} nodes without GPUs"
        allowed = f"at most {_MOST_NODES} nodes with gpus: 0"
        yield document.finding(("resources", "nodes"), ID, found, allowed, "ask for GPUs, or fewer nodes")
    if usable("method") and experiment.method == "qlora":
        yield document.finding(("method",), ID, "method: qlora with gpus: 0", "lora or full", "ask for a GPU")
    for key in _GPU_ONLY:
        if subject.train.get(key) is True:
            yield document.finding(("train", key), ID, f"{key} with gpus: 0", "a GPU", "remove it, or ask for a GPU")
    optimiser = subject.train.get("optim", "")
    if any(part in optimiser for part in _GPU_OPTIMISERS):
        found = f"optim {quote(optimiser)} with gpus: 0"
        yield document.finding(("train", "optim"), ID, found, "adamw_torch and others", "write adamw_torch")
