"""An adapter is trained on the very weights that it is merged into.

PiSSA takes the adapter's first values out of the base model, and training from scratch replaces it by random weights:
merged into the catalogue's base model such an adapter gives a broken model, without any error.

Fails:

    method: lora
    train: {pissa_init: true}

Passes:

    method: lora
    train: {use_rslora: true}
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding, quote
from tools.rules.subject import Subject

ID = "adapter-merge"
KIND = "experiment"
NEEDS = ("method", "train")
# Source: llamafactory/model/adapter.py; train/callbacks.py, PissaConvertCallback, which saves beside the adapter.
_CHANGE_BASE = ("pissa_init", "train_from_scratch")


def check(subject: Subject) -> Iterator[Finding]:
    """Look for options that change the base below the adapter."""
    if subject.experiment.method == "full":
        return
    for key in _CHANGE_BASE:
        if subject.train.get(key) is True:
            found = f"{quote(key)} with method: {subject.experiment.method}"
            remedy = "remove it"
            yield subject.parsed.document.finding(
                ("train", key), ID, found, "adapters on the base model as it is", remedy, key=True
            )
