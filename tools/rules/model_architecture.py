"""A model's architecture numbers agree with each other.

Memory estimates and LoRA targets follow from them. `ft model add` reads them from config.json and the tensors.

Fails:

    num_attention_heads: 9
    num_key_value_heads: 4          # 9 is no multiple of 4
    linear_modules: {}

Passes:

    num_attention_heads: 9
    num_key_value_heads: 3
    linear_modules: {q_proj: [576, 576, 30]}
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding, quote
from tools.formats.model import Architecture, Model
from tools.rules.entry import Entry

ID = "model-architecture"
KIND = "model"
NEEDS = ("architecture",)
_REMEDY = "run `ft model add` again"


def check(entry: Entry[Model]) -> Iterator[Finding]:
    """Compare the numbers."""
    document, numbers = entry.parsed.document, entry.value.architecture
    heads, groups = numbers.num_attention_heads, numbers.num_key_value_heads
    if heads % groups:
        found = f"{heads} attention heads, {groups} key-value heads"
        where = ("architecture", "num_key_value_heads")
        yield document.finding(where, ID, found, f"a divisor of {heads}", _REMEDY)
    modules = ("architecture", "linear_modules")
    if not numbers.linear_modules:
        yield document.finding(modules, ID, "no linear modules", "at least one", _REMEDY)
    for name, sizes in numbers.linear_modules.items():
        if min(sizes) < 1:
            yield document.finding((*modules, name), ID, f"{quote(name)} is {list(sizes)}", "numbers above 0", _REMEDY)
    if numbers.parameters < (least := _embedding_and_layers(numbers)):
        where = ("architecture", "parameters")
        yield document.finding(where, ID, f"{numbers.parameters} parameters", f"at least {least}", _REMEDY)


def _embedding_and_layers(numbers: Architecture) -> int:
    """Parameters of the parts that are listed: input embedding and linear layers."""
    layers = sum(rows * columns * count for rows, columns, count in numbers.linear_modules.values())
    return numbers.vocab_size * numbers.hidden_size + layers
