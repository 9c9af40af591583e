"""Options that follow the evaluations need an `eval_strategy`.

Held-out rows alone evaluate nothing: transformers evaluates during training only when `eval_strategy` is `steps` or
`epoch`, and stops at start when the learning rate, the best checkpoint or early stopping depend on it.

Fails:

    train: {val_size: 0.1, early_stopping_steps: 3}

Passes:

    train: {val_size: 0.1, early_stopping_steps: 3, eval_strategy: steps, load_best_model_at_end: true, save_steps: 10}
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding, quote
from tools.rules.eval_data import SMALLEST, asks
from tools.rules.subject import Subject
from tools.rules.train import later

ID = "eval-strategy"
KIND = "experiment"
NEEDS = ("train",)
# Source: transformers/training_args.py, _validate_args; trainer_callback.py, EarlyStoppingCallback.
_FOLLOW = ("load_best_model_at_end", "early_stopping_steps", "lr_scheduler_type", "save_strategy", "eval_steps")


def check(subject: Subject) -> Iterator[Finding]:
    """Look for options that wait for evaluations which never come."""
    train = subject.train
    strategy_faulty = "eval_strategy" in subject.experiment.train and "eval_strategy" not in train
    if strategy_faulty or train.get("eval_strategy", "no") != "no" or train.get("val_size", 0) <= SMALLEST:
        return
    waiting = [key for key in _FOLLOW if key in train and asks(key, train[key])]
    for key in later(subject, *waiting)[:1]:
        found = f"{quote(key)} without eval_strategy"
        remedy = "add eval_strategy: steps under train:"
        yield subject.parsed.document.finding(
            ("train", key), ID, found, "eval_strategy: steps or epoch", remedy, key=True
        )
