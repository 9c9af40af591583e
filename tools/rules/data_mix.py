"""Options that decide how rows are read agree with each other.

LLaMA Factory refuses these combinations at start: streaming needs `max_steps` (nobody knows the number of rows), takes
no `max_samples` and holds out a number of rows, not a share; probabilities belong to interleaving and are one per
dataset; `mask_history` and `train_on_prompt` contradict each other.

Fails:

    train: {streaming: true}
    train: {interleave_probs: "0.5,0.5"}

Passes:

    train: {streaming: true, max_steps: 1000}
    train: {interleave_probs: "0.5,0.5", mix_strategy: interleave_under}
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding
from tools.rules.subject import Subject
from tools.rules.train import later

ID = "data-mix"
KIND = "experiment"
NEEDS = ("train",)
# Source: llamafactory/hparams/data_args.py, __post_init__; parser.py, get_train_args.


def check(subject: Subject) -> Iterator[Finding]:
    """Look for each combination."""
    if subject.train.get("streaming") is True:
        yield from _streaming(subject)
    if subject.train.get("interleave_probs") is not None:
        yield from _interleaving(subject)
    masks = [key for key in ("mask_history", "train_on_prompt") if subject.train.get(key) is True]
    if len(masks) > 1 and subject.experiment.stage == "sft":
        first, second = later(subject, *masks)
        yield _finding(subject, second, f"{second} and {first} are both true", "one of them", "remove one")


def _streaming(subject: Subject) -> Iterator[Finding]:
    train, written = subject.train, subject.experiment.train
    if train.get("max_steps", -1) == -1 and ("max_steps" in train or "max_steps" not in written):
        yield _finding(subject, "streaming", "streaming without max_steps", None, "add max_steps under train:")
    if 0 < train.get("val_size", 0) < 1:
        found = f"val_size is {train['val_size']} with streaming"
        yield _finding(subject, "val_size", found, "a whole number of rows", "write a number of rows")
    if train.get("max_samples") is not None:
        yield _finding(subject, "max_samples", "max_samples with streaming", None, "remove one of the two")


def _interleaving(subject: Subject) -> Iterator[Finding]:
    train = subject.train
    probabilities = train["interleave_probs"]
    numbers = probabilities.split(",") if isinstance(probabilities, str) else probabilities
    strategy_sound = "mix_strategy" in train or "mix_strategy" not in subject.experiment.train
    if any(_number(part) is None for part in numbers):
        yield _finding(subject, "interleave_probs", f"interleave_probs is {probabilities}", "numbers from 0 to 1")
    elif strategy_sound and train.get("mix_strategy", "concat") == "concat":
        remedy = "add mix_strategy: interleave_under"
        yield _finding(subject, "interleave_probs", "interleave_probs without interleaving", None, remedy)
    elif subject.parsed.usable("datasets") and len(numbers) != len(subject.experiment.datasets):
        found = f"{len(numbers)} probabilities for {len(subject.experiment.datasets)} datasets"
        yield _finding(subject, "interleave_probs", found, "one for each dataset", "add or remove some")


def _number(part: str | float) -> float | None:
    try:
        value = float(part)
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None


def _finding(subject: Subject, key: str, found: str, allowed: str | None, remedy: str = "correct them") -> Finding:
    return subject.parsed.document.finding(("train", key), ID, found, allowed, remedy)
