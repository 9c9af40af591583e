"""Packing is for pre-training and supervised training, and neat packing for templates that can be packed.

Preference pairs cannot be packed: LLaMA Factory would ignore the key and shorten `cutoff_len` by one. Some templates'
models mix packed rows up, and LLaMA Factory refuses them once the model is loaded.

Fails:

    stage: dpo
    train: {packing: true}

Passes:

    stage: sft
    train: {packing: true}
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding, quote
from tools.llamafactory.table import templates
from tools.rules.subject import Subject

ID = "packing"
KIND = "experiment"
NEEDS = ("stage", "train")
_STAGES = ("pt", "sft")


def check(subject: Subject) -> Iterator[Finding]:
    """Compare packing with the stage and the model's template."""
    stage, train, document = subject.experiment.stage, subject.train, subject.parsed.document
    if train.get("packing") is True and stage not in _STAGES:
        found = f"packing with stage: {stage}"
        yield document.finding(("train", "packing"), ID, found, "stage: pt or sft", "remove it")
    if train.get("neat_packing") is not True or stage != "sft" or subject.model is None:
        return
    template = templates().get(subject.model.template)
    if template is not None and not template.neat_packing:
        found = f"neat_packing with the template {quote(template.name)} of {subject.experiment.model}"
        yield document.finding(("train", "neat_packing"), ID, found, "templates that can be packed", "remove it")
