"""Options that evaluate need rows to evaluate on: `val_size` above 0.

`val_size` holds rows of the training data out: a share below 1, or a number of rows. Without it LLaMA Factory stops, or
never evaluates. One finding, at the first such option.

Fails:

    train: {eval_strategy: steps, eval_steps: 50}

Passes:

    train: {eval_strategy: steps, eval_steps: 50, val_size: 0.1}
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tools.findings import Finding, quote
from tools.rules.stage_key import refuses
from tools.rules.subject import Subject
from tools.rules.train import later

ID = "eval-data"
KIND = "experiment"
NEEDS = ("train",)
# Source: llamafactory/hparams/parser.py, get_train_args: val_size must exceed 1e-6.
SMALLEST = 1e-6
_WHEN_SET = ("eval_steps", "early_stopping_steps")
_WHEN_TRUE = ("do_eval", "eval_on_start", "load_best_model_at_end", "compute_accuracy")
_SCHEDULERS = ("reduce_lr_on_plateau", "greedy")
_ASKING = ("eval_strategy", "lr_scheduler_type", "save_strategy", *_WHEN_SET, *_WHEN_TRUE)


def check(subject: Subject) -> Iterator[Finding]:
    """Look for options that evaluate when no rows are held out."""
    mentioned_but_faulty = "val_size" in subject.experiment.train and "val_size" not in subject.train
    if mentioned_but_faulty or subject.train.get("val_size", 0) > SMALLEST:
        return
    stage = subject.experiment.stage
    there = [(key, subject.train[key]) for key in _ASKING if key in subject.train]
    wanted = [key for key, value in there if asks(key, value) and not refuses(stage, key, value)]
    if asking := later(subject, *wanted):
        names = ", ".join(asking)
        remedy = f"add val_size: 0.1 under train:, or remove {names}"
        found = f"{quote(asking[0])} without rows to evaluate on"
        yield subject.parsed.document.finding(("train", asking[0]), ID, found, "val_size above 0", remedy, key=True)


def asks(key: str, value: Any) -> bool:
    """Whether an option makes the trainer evaluate, or only makes sense when it does."""
    if key == "eval_strategy":
        return bool(value != "no")
    if key == "lr_scheduler_type":
        return value in _SCHEDULERS
    if key == "save_strategy":
        return bool(value == "best")
    return (key in _WHEN_TRUE and value is True) or (key in _WHEN_SET and value is not None)
