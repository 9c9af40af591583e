"""Options of the loss fit each other.

Label smoothing of DPO is for the sigmoid loss only (LLaMA Factory refuses others), and of the special supervised losses
it takes the first it finds and silently forgets the rest.

Fails:

    train: {pref_loss: simpo, dpo_label_smoothing: 0.1}
    train: {use_dft_loss: true, use_eaft_loss: true}

Passes:

    train: {pref_loss: sigmoid, dpo_label_smoothing: 0.1}
    train: {use_dft_loss: true}
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding
from tools.llamafactory.table import SPECIAL_LOSSES
from tools.rules.subject import Subject
from tools.rules.train import later

ID = "loss"
KIND = "experiment"
NEEDS = ("stage", "train")
# Source: llamafactory/hparams/finetuning_args.py, __post_init__; train/sft/trainer.py.
_SMALLEST = 1e-6


def check(subject: Subject) -> Iterator[Finding]:
    """Look for each combination."""
    train, document, stage = subject.train, subject.parsed.document, subject.experiment.stage
    loss = train.get("pref_loss", "sigmoid")
    if stage == "dpo" and loss != "sigmoid" and train.get("dpo_label_smoothing", 0) > _SMALLEST:
        found = f"dpo_label_smoothing with pref_loss: {loss}"
        yield document.finding(
            ("train", "dpo_label_smoothing"), ID, found, "pref_loss: sigmoid", "remove one", key=True
        )
    if stage != "sft":
        return
    first, *others = later(subject, *(key for key in SPECIAL_LOSSES if train.get(key) is True)) or [""]
    for key in others:
        yield document.finding(("train", key), ID, f"{key} and {first} are both true", "one of them", "remove one")
