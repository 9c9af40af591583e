"""Keys of one training method are not written with another.

LLaMA Factory ignores most of them silently and refuses the rest: either way what is written is not what is trained.
Freeze tuning and OFT are not offered, nor is LLaMA Pro, which needs a model expanded beforehand.

Fails:

    method: full
    train: {lora_rank: 16}

Passes:

    method: lora
    train: {lora_rank: 16}
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding, quote
from tools.llamafactory.table import arguments
from tools.rules.subject import Subject

ID = "method-key"
KIND = "experiment"
NEEDS = ("method", "train")
_ADAPTER = "LoraArguments"
# Also keep weights whose training goes on in the adapter's run only.
_NOT_OFFERED = {"FreezeArguments": "freeze tuning", "OFTArguments": "OFT", "KTransformersArguments": "KTransformers"}
_QUANTISED_ONLY = ("quantization_type", "double_quantization", "quantization_method")


def check(subject: Subject) -> Iterator[Finding]:
    """Look for keys of another method."""
    method, table = subject.experiment.method, arguments()
    for key, value in subject.train.items():
        group = table[key].group
        if value is None or value is False:
            continue
        if group in _NOT_OFFERED:
            yield _finding(
                subject, key, f"{quote(key)} belongs to {_NOT_OFFERED[group]}", "method: lora, qlora or full"
            )
        elif key == "use_llama_pro":
            yield _finding(subject, key, f"{quote(key)} needs an expanded model", "method: lora, qlora or full")
        elif group == _ADAPTER and method == "full":
            yield _finding(subject, key, f"{quote(key)} with method: full", "method: lora or qlora")
        elif key in _QUANTISED_ONLY and method != "qlora":
            yield _finding(subject, key, f"{quote(key)} with method: {method}", "method: qlora")


def _finding(subject: Subject, key: str, found: str, allowed: str) -> Finding:
    remedy = "remove it, or change the method"
    return subject.parsed.document.finding(("train", key), ID, found, allowed, remedy, key=True)
