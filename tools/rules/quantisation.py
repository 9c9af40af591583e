"""`method: qlora` says how many bits the base model is loaded in; other methods do not.

QLoRA trains an adapter on a base model in 4 or 8 bits. Without `quantization_bit` it would silently be plain LoRA and
need several times the memory; with it, LoRA would silently be QLoRA and full training fails.

Fails:

    method: qlora
    train: {lora_rank: 16}

Passes:

    method: qlora
    train: {lora_rank: 16, quantization_bit: 4}
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding, quote
from tools.rules.subject import Subject

ID = "quantisation"
KIND = "experiment"
NEEDS = ("method", "train")
# Source: llamafactory/hparams/parser.py, _verify_model_args.
_NOT_ON_QUANTISED = ("resize_vocab",)


def check(subject: Subject) -> Iterator[Finding]:
    """Compare the method with `quantization_bit`."""
    document, experiment, train = subject.parsed.document, subject.experiment, subject.train
    bit = ("train", "quantization_bit")
    mentioned = "quantization_bit" in experiment.train
    if experiment.method != "qlora":
        if train.get("quantization_bit") is not None:
            found = f"quantization_bit with method: {experiment.method}"
            yield document.finding(bit, ID, found, "method: qlora", "write method: qlora, or remove it", key=True)
        return
    if not mentioned or ("quantization_bit" in train and train["quantization_bit"] is None):
        where = bit if mentioned else ("method",)
        remedy = "add quantization_bit: 4 under train:"
        yield document.finding(where, ID, "method: qlora without quantization_bit", "4 or 8", remedy)
    for key in _NOT_ON_QUANTISED:
        if train.get(key):
            found = f"{quote(key)} with method: qlora"
            yield document.finding(("train", key), ID, found, "method: lora or full", "remove it", key=True)
