"""`lora_target` names layers that the model has.

PEFT stops when no layer matches, and silently trains less when only some do. The catalogue lists each model's layers.

Fails:

    train: {lora_target: "q_proj,query_key_value"}

Passes:

    train: {lora_target: "q_proj,v_proj"}
    train: {lora_target: all}
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from tools.findings import Finding, quote
from tools.rules.subject import Subject
from tools.yamlsource import Location

ID = "lora-target"
KIND = "experiment"
NEEDS = ("model", "method", "train")
_MOST = 50  # no model has as many kinds of layer


def check(subject: Subject) -> Iterator[Finding]:
    """Compare the targets with the layers of the catalogue."""
    targets = subject.train.get("lora_target")
    if subject.model is None or targets is None or subject.experiment.method == "full":
        return
    layers = subject.model.architecture.linear_modules
    if isinstance(targets, list):
        wrong = [(index, name) for index, name in enumerate(targets) if not _known(name, layers)]
        for index, name in wrong[:_MOST]:
            yield _finding(subject, ("train", "lora_target", index), [name])
    elif unknown := [name for part in targets.split(",") if not _known(name := part.strip(), layers)]:
        yield _finding(subject, ("train", "lora_target"), unknown)


def _known(name: str, layers: dict[str, tuple[int, int, int]]) -> bool:
    return name == "all" or name.rpartition(".")[2] in layers


def _finding(subject: Subject, location: Location, names: list[str]) -> Finding:
    assert subject.model is not None
    layers = sorted(subject.model.architecture.linear_modules)
    near = get_close_matches(names[0], layers, n=1)
    remedy = f'did you mean "{near[0]}"?' if near else "write all, or some of these"
    found = f"{subject.experiment.model} has no layer {', '.join(map(quote, names))}"
    return subject.parsed.document.finding(location, ID, found, f"all, {', '.join(layers)}", remedy)
