"""LLaMA Factory's arguments as an experiment: what moves elsewhere, what changes its name, what stays under `train:`."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from tools.findings import quote
from tools.importing.draft import Draft, show
from tools.importing.naming import Known, name_datasets, name_model
from tools.llamafactory.table import Argument, arguments, renamed
from tools.rules.train_platform_key import owner_of

STAGES = ("pt", "sft", "rm", "dpo", "kto")
_YES_NO = {"yes": True, "Yes": True, "YES": True, "on": True, "On": True, "ON": True, "y": True, "Y": True} | {
    "no": False,
    "No": False,
    "NO": False,
    "off": False,
    "Off": False,
    "OFF": False,
    "n": False,
    "N": False,
}
_EVALUATION = ("eval_strategy", "eval_steps", "per_device_eval_batch_size", "eval_delay", "load_best_model_at_end")
_MOST_GUESSES = 20
_HANDLED = frozenset({"model_name_or_path", "dataset", "stage", "finetuning_type", "template", "do_train"})


def convert(source: Mapping[str, Any], known: Known) -> Draft:
    """The experiment that a LLaMA Factory training config describes, as far as it can be said."""
    draft = Draft()
    _task(source, draft)
    name_model(source, known, draft)
    name_datasets(source, known, draft)
    for key, value in source.items():
        if key not in _HANDLED:
            _argument(key, value, draft)
    _unknown(draft)
    _evaluation(draft)
    return draft


def _task(source: Mapping[str, Any], draft: Draft) -> None:
    """stage, method: what is trained and how."""
    if not _truth(source.get("do_train", False)):
        draft.missing.append(
            ("do_train", "this config does not train; only training configs (do_train: true) can be imported")
        )
    stage = source.get("stage", "sft")
    if stage not in STAGES:
        draft.missing.append(("stage", f"stage {quote(stage)} is not supported; allowed: {', '.join(STAGES)}"))
    kind = source.get("finetuning_type", "lora")
    if kind not in ("lora", "full"):
        draft.missing.append(
            ("finetuning_type", f"finetuning_type {quote(kind)} is not supported; allowed: lora, full")
        )
    quantised = source.get("quantization_bit") is not None
    draft.fields["stage"] = stage
    draft.fields["method"] = "qlora" if kind == "lora" and quantised else kind
    if quantised and kind == "lora":
        draft.notice("quantization_bit", "the base is quantised, so the method is qlora")


def _argument(written: str, value: Any, draft: Draft) -> None:
    """One argument under `train:`, under its newer name, or left out with the reason."""
    key = _newer(written)
    if key != written:
        draft.origin[key] = written
        draft.notice(written, f"renamed: it is {key} now")
    where = owner_of(key)
    if key not in arguments():
        draft.unknown.append((written, show(value, written)))
    elif where is not None:
        draft.notice(written, f"{show(value, written)} moved away: {where}")
    elif value is None:
        draft.notice(written, "empty, left out: LLaMA Factory's default holds")
    else:
        draft.train[key] = _read(arguments()[key], value, draft)


def _newer(key: str) -> str:
    """What a key that is unknown now is called, where another takes its value unchanged."""
    old = renamed().get(key) if key not in arguments() else None
    return old.new if old is not None and old.new is not None else key


def _unknown(draft: Draft) -> None:
    """Say of each unknown key what it is called now, or what may have been meant; a file full of them gets few guesses."""
    for number, (key, shown) in enumerate(draft.unknown):
        old = renamed().get(key)
        near = get_close_matches(key, arguments(), n=1, cutoff=0.75) if number < _MOST_GUESSES and old is None else []
        remedy = (
            old.remedy if old else f'did you mean "{near[0]}"?' if near else "the pinned LLaMA Factory has no such key"
        )
        draft.notice(key, f"{shown} left out: {remedy}")


def _read(argument: Argument, value: Any, draft: Draft) -> Any:
    """The value as OmegaConf reads it: an unquoted yes or no is a boolean there."""
    if isinstance(value, str) and value in _YES_NO and "bool" in argument.types and "str" not in argument.types:
        draft.notice(argument.name, f"{value} is written as {str(_YES_NO[value]).lower()}")
        return _YES_NO[value]
    return value


def _evaluation(draft: Draft) -> None:
    """Evaluation needs rows: without val_size, and with eval_dataset moved away, its settings mean nothing."""
    if draft.train.get("val_size"):
        return
    for key in _EVALUATION:
        if key in draft.train:
            value = draft.train.pop(key)
            draft.notice(
                key, f"{show(value)} left out: there are no rows to evaluate on; set val_size to hold some out"
            )


def _truth(value: Any) -> bool:
    return _YES_NO.get(value, False) if isinstance(value, str) else bool(value)
