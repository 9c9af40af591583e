"""No paths, URLs or addresses under `train:`.

The Job sees its own data and model only. A path would read something that no review saw, or nothing at all; a URL would
reach out of the cluster.

Fails:

    train:
      optim_args: /storage/other-team/optim.json
      metric_for_best_model: ../loss

Passes:

    train:
      metric_for_best_model: loss
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tools.findings import Finding, quote
from tools.rules.subject import Subject
from tools.rules.train import Refusal, refusals, texts

ID = "train-path"
KIND = "experiment"
NEEDS = ("train",)
# Texts for the model itself: a slash or a link in them is content.
FREE_TEXT = frozenset({"default_system", "add_tokens", "add_special_tokens"})
_REACHES_OUT = re.compile(r"^\s*(/|~|\\|[A-Za-z]:[\\/])|(^|[/\\])\.\.([/\\]|$)|://|^\s*file:|\.json\s*$|\.ya?ml\s*$")


def judge(key: str, value: Any) -> Refusal | None:
    """Refuse a value that names a file or a server."""
    if key in FREE_TEXT or not isinstance(value, str | list | dict):
        return None
    for text in texts(value):
        if _REACHES_OUT.search(text):
            return Refusal(f"{key} holds {quote(text)}", "no paths and no URLs", "remove it")
    return None


def check(subject: Subject) -> Iterator[Finding]:
    """Yield what `judge` refused."""
    yield from refusals(subject, ID)
