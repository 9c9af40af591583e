"""An environment's GPU type is in catalog/gpus.yaml.

Memory, speed and price of a run are estimated from it.

Fails:

    gpu: {type: h100, per_node: 8, nodes: 4}        # did you mean "h100-80gb"?

Passes:

    gpu: {type: h100-80gb, per_node: 8, nodes: 4}
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from tools.findings import Finding, quote
from tools.formats.environment import Environment
from tools.rules.entry import Entry

ID = "environment-gpu"
KIND = "environment"
NEEDS = ("gpu",)


def check(entry: Entry[Environment]) -> Iterator[Finding]:
    """Look the type up."""
    gpus, name = entry.repository.gpus, entry.value.gpu.type
    if gpus is None or name in gpus.gpus:
        return
    near = get_close_matches(name, gpus.gpus, n=1, cutoff=0.4)
    remedy = f'did you mean "{near[0]}"?' if near else "add it to catalog/gpus.yaml"
    found = f"there is no GPU type {quote(name)}"
    yield entry.parsed.document.finding(("gpu", "type"), ID, found, ", ".join(gpus.gpus), remedy)
