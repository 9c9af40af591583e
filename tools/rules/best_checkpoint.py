"""`load_best_model_at_end` needs checkpoints at the evaluations, and early stopping needs a metric.

The best model can only be loaded if a checkpoint was saved when it was measured: the save and eval strategies are the
same, and in steps `save_steps` is a multiple of `eval_steps`. The platform saves in steps unless told otherwise.

Fails:

    train: {val_size: 0.1, load_best_model_at_end: true, eval_strategy: epoch}

Passes:

    train: {val_size: 0.1, load_best_model_at_end: true, eval_strategy: epoch, save_strategy: epoch}
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding
from tools.rules.eval_data import SMALLEST
from tools.rules.subject import Subject

ID = "best-checkpoint"
KIND = "experiment"
NEEDS = ("stage", "train")
# Source: transformers/training_args.py, _validate_args.
_INVOLVED = ("eval_strategy", "save_strategy", "eval_steps", "save_steps", "logging_steps")
_PLATFORM_LOGGING_STEPS = 10
_PARTS = 1_000_000


def check(subject: Subject) -> Iterator[Finding]:
    """Compare when is saved with when is evaluated."""
    train = subject.train
    evaluated = train.get("val_size", 0) > SMALLEST and train.get("eval_strategy", "no") != "no"
    faulty = any(key in subject.experiment.train and key not in train for key in _INVOLVED)
    if faulty or not evaluated or subject.experiment.stage == "rm":
        return
    if train.get("load_best_model_at_end") is True:
        yield from _checkpoints(subject)
    elif train.get("early_stopping_steps") is not None and train.get("metric_for_best_model") is None:
        remedy = "add load_best_model_at_end: true under train:"
        yield subject.parsed.document.finding(
            ("train", "early_stopping_steps"), ID, "early_stopping_steps without a metric", None, remedy, key=True
        )


def _checkpoints(subject: Subject) -> Iterator[Finding]:
    train, document = subject.train, subject.parsed.document
    evaluate, save = train["eval_strategy"], train.get("save_strategy", "steps")
    where = ("train", "load_best_model_at_end")
    if save == "best":
        return
    if evaluate != save:
        found = f"load_best_model_at_end evaluates each {evaluate} and saves each {save}"
        remedy = f"write save_strategy: {evaluate}"
        yield document.finding(where, ID, found, "the same strategy for both, or save_strategy: best", remedy)
    elif evaluate == "steps" and "save_steps" not in train:
        remedy = "add save_steps, a multiple of eval_steps, under train:"
        yield document.finding(where, ID, "load_best_model_at_end without save_steps", None, remedy)
    elif evaluate == "steps":
        steps = train.get("eval_steps") or train.get("logging_steps", _PLATFORM_LOGGING_STEPS)
        if not multiple(train["save_steps"], steps):
            found = f"save_steps is {train['save_steps']}, eval_steps {steps}"
            allowed = "a multiple of eval_steps, both whole numbers or both shares"
            yield document.finding(("train", "save_steps"), ID, found, allowed, "correct one of them")


def multiple(save: float, evaluate: float) -> bool:
    """Whether `save` is a multiple of `evaluate`, as transformers decides it: shares (below 1) count in millionths."""
    if (save < 1) != (evaluate < 1):
        return False
    scale = _PARTS if save < 1 else 1
    return (save * scale) % (evaluate * scale) == 0
