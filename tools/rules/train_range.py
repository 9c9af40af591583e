"""Numbers under `train:` lie where training makes sense.

LLaMA Factory takes any number. A learning rate of 1 diverges at once, 0 epochs train nothing: both cost a GPU first.

Fails:

    train:
      learning_rate: 100
      num_train_epochs: 0
      val_size: 1.5               # a share below 1, or a whole number of rows

Passes:

    train:
      learning_rate: 1.0e-4
      num_train_epochs: 3
      val_size: 0.1
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from tools.findings import Finding, quote
from tools.rules.subject import Subject
from tools.rules.train import Refusal, refusals

ID = "train-range"
KIND = "experiment"
NEEDS = ("train",)

# Intervals as mathematics writes them: [ and ] include the bound, ( and ) do not.
RANGES: dict[str, str] = {
    # length of training
    "num_train_epochs": "(0, 1000]",
    "max_steps": "[-1, 10000000]",
    "early_stopping_steps": "[1, 10000]",
    # batch
    "per_device_train_batch_size": "[1, 4096]",
    "per_device_eval_batch_size": "[1, 4096]",
    "gradient_accumulation_steps": "[1, 65536]",
    "eval_accumulation_steps": "[1, 65536]",
    "cutoff_len": "[1, 10000000]",
    "max_samples": "[1, 1000000000]",
    "buffer_size": "[1, 10000000]",
    "preprocessing_batch_size": "[1, 1000000]",
    "preprocessing_num_workers": "[1, 128]",
    "dataloader_num_workers": "[0, 128]",
    "dataloader_prefetch_factor": "[1, 1024]",
    "torch_empty_cache_steps": "[1, 10000000]",
    # optimiser
    "learning_rate": "(0, 1)",
    "loraplus_lr_ratio": "(0, 1000]",
    "loraplus_lr_embedding": "(0, 1)",
    "weight_decay": "[0, 1]",
    "adam_beta1": "[0, 1)",
    "adam_beta2": "[0, 1)",
    "adam_epsilon": "(0, 1)",
    "max_grad_norm": "[0, 1000]",
    "warmup_ratio": "[0, 1]",
    "warmup_steps": "[0, 10000000]",
    "label_smoothing_factor": "[0, 1)",
    "neftune_noise_alpha": "[0, 1000]",
    "moe_aux_loss_coef": "[0, 1000]",
    # adapter
    "lora_rank": "[1, 1024]",
    "lora_alpha": "[1, 65536]",
    "lora_dropout": "[0, 1)",
    # preference training
    "pref_beta": "(0, 100]",
    "pref_ftx": "[0, 100]",
    "pref_bco_weight": "[0, 100]",
    "simpo_gamma": "[0, 100]",
    "dpo_label_smoothing": "[0, 0.5)",
    "ld_alpha": "[0, 1]",
    "kto_chosen_weight": "(0, 100]",
    "kto_rejected_weight": "(0, 100]",
    # other losses
    "asft_alpha": "[0, 1000]",
    "eaft_alpha": "[0, 1000]",
    # logging, evaluation, checkpoints
    "logging_steps": "(0, 10000000]",
    "eval_steps": "(0, 10000000]",
    "eval_delay": "[0, 10000000]",
    "save_steps": "(0, 10000000]",
    "save_total_limit": "[1, 1000]",
    "val_size": "[0, 1000000000]",
    # randomness and processes
    "seed": "[0, 4294967295]",
    "data_seed": "[0, 4294967295]",
    "ddp_timeout": "[1, 4294967295]",
    "ddp_bucket_cap_mb": "[1, 65536]",
}
CHOICES: dict[str, tuple[int, ...]] = {"quantization_bit": (4, 8)}
# Beyond this a number loses digits on its way through JSON.
_EXACT = 2**53


@cache
def _interval(text: str) -> tuple[float, bool, float, bool]:
    low, high = text[1:-1].split(", ")
    return float(low), text[0] == "[", float(high), text[-1] == "]"


def within(number: float, interval: str) -> bool:
    """Whether a number lies in an interval such as `(0, 1]`."""
    low, low_in, high, high_in = _interval(interval)
    return (number > low or (low_in and number == low)) and (number < high or (high_in and number == high))


def in_words(interval: str) -> str:
    """An interval as a message says it."""
    low, low_in, high, high_in = _interval(interval)
    return f"{'at least' if low_in else 'more than'} {low:.10g} and {'at most' if high_in else 'less than'} {high:.10g}"


def judge(key: str, value: Any) -> Refusal | None:
    """Refuse a number out of range."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    allowed = _allowed(key, value)
    return Refusal(f"{key} is {quote(value)}", allowed, "correct the value") if allowed else None


def _allowed(key: str, value: float) -> str | None:
    """None when the number is fine, else what is allowed."""
    if key in CHOICES and value not in CHOICES[key]:
        return " or ".join(map(str, CHOICES[key]))
    if key in RANGES and not within(value, RANGES[key]):
        return in_words(RANGES[key])
    if key == "max_steps" and value == 0:
        return "at least 1, or -1 to count in epochs"
    if key == "val_size" and value >= 1 and value != int(value):
        return "a share below 1, or a whole number of rows"
    return f"at most {_EXACT}" if isinstance(value, int) and abs(value) > _EXACT else None


def check(subject: Subject) -> Iterator[Finding]:
    """Yield what `judge` refused."""
    yield from refusals(subject, ID)
