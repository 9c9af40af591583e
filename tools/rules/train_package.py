"""Options that need a Python package which the runner image lacks are refused; those that would be ignored are warned of.

The image holds what most runs need, pinned and scanned. LLaMA Factory stops at start when a package is missing.

Fails:

    train:
      use_unsloth: true
      optim: galore_adamw

Passes:

    train:
      optim: adamw_torch
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tools.findings import Finding, quote
from tools.rules.subject import Subject
from tools.rules.train import Refusal, refusals

ID = "train-package"
KIND = "experiment"
NEEDS = ("train",)

# Source: llamafactory/hparams/parser.py, _check_extra_dependencies; transformers/trainer_optimizer.py for `optim`.
FLAGS: dict[str, str] = {
    "use_unsloth": "unsloth",
    "use_galore": "galore-torch",
    "use_apollo": "apollo-torch",
    "use_badam": "badam",
    "use_adam_mini": "adam-mini",
    "use_kt": "kt-kernel",
    "use_mca": "mcore-adapter",
    "use_hyper_parallel": "hyper-parallel",
    "fp8": "transformer-engine or torchao",
    "fp8_enable_fsdp_float8_all_gather": "transformer-engine or torchao",
    "mixture_of_depths": "mixture-of-depth",
}
OPTIMISERS: dict[str, str] = {
    "adamw_torch_xla": "torch-xla",
    "adamw_torch_npu_fused": "torch-npu",
    "adamw_apex_fused": "apex",
    "adamw_anyprecision": "torchdistx",
    "adamw_torch_4bit": "torchao",
    "adamw_torch_8bit": "torchao",
    "lomo": "lomo-optim",
    "adalomo": "lomo-optim",
    "grokadamw": "grokadamw",
    "schedule_free_radam": "schedulefree",
    "schedule_free_adamw": "schedulefree",
    "schedule_free_sgd": "schedulefree",
    "stable_adamw": "torch-optimi",
}
_PREFIXES = {"galore_": "galore-torch", "apollo_": "apollo-torch"}


def judge(key: str, value: Any) -> Refusal | None:
    """Refuse, or warn of, a value that needs a package that the image lacks."""
    if key in FLAGS and value:
        return _lacks(key, value, FLAGS[key])
    if key == "optim" and isinstance(value, str):
        package = OPTIMISERS.get(value) or next((p for start, p in _PREFIXES.items() if value.startswith(start)), None)
        return _lacks(key, value, package, "write adamw_torch or another one") if package else None
    if key == "quantization_method" and value != "bnb":
        return _lacks(key, value, str(value), "write bnb, or remove it")
    if key == "flash_attn" and value == "fa3":
        return _lacks(key, value, "flash-attn 3", "write auto")
    if key == "flash_attn" and value == "fa2":
        return _lacks(key, value, "flash-attn", "LLaMA Factory goes on without it; write auto")._replace(
            severity="warning"
        )
    return None


def _lacks(key: str, value: Any, package: str, remedy: str = "remove it") -> Refusal:
    allowed = "what the runner image holds"
    return Refusal(f"{key}: {quote(value)} needs {package}, which the image lacks", allowed, remedy)


def check(subject: Subject) -> Iterator[Finding]:
    """Yield what `judge` refused."""
    yield from refusals(subject, ID)
