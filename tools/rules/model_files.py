"""A model's files are a model: a config, a tokenizer and weights as safetensors.

Every file of the folder is listed with its hash, and the run compares them all. Pickled weights can run code and are not
accepted.

Fails:

    files:
      pytorch_model.bin: {sha256: ..., size: ...}

Passes:

    files:
      config.json: {sha256: ..., size: ...}
      model.safetensors: {sha256: ..., size: ...}
      tokenizer.json: {sha256: ..., size: ...}
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding, quote
from tools.formats.model import Model
from tools.rules.entry import Entry

ID = "model-files"
KIND = "model"
NEEDS = ("files",)
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
_TOKENIZERS = ("tokenizer", "vocab", "spiece", "sentencepiece")
_REMEDY = "correct the folder, then run `ft model add` again"


def check(entry: Entry[Model]) -> Iterator[Finding]:
    """Look for what is missing and for what must not be there."""
    document, files = entry.parsed.document, entry.value.files
    parts = {
        "config.json": any(name == "config.json" for name in files),
        "tokenizer": any(name.startswith(_TOKENIZERS) for name in files),
        "weights (*.safetensors)": any(name.endswith(".safetensors") for name in files),
    }
    missing = [part for part, there in parts.items() if not there]
    if missing:
        yield document.finding(("files",), ID, f"no {', no '.join(missing)}", ", ".join(parts), _REMEDY, key=True)
    for name in files:
        if name.endswith(_PICKLES):
            found = f"{quote(name)} is pickled and can run code"
            yield document.finding(("files", name), ID, found, "safetensors and JSON", _REMEDY, key=True)
