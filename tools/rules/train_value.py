"""Values under `train:` have the type, or are one of the choices, that LLaMA Factory declares.

Its own parser looks at no types: a quoted number trains wrongly or fails much later. Numbers are finite.

Fails:

    train:
      learning_rate: "1e-4"       # text; a number is needed
      packing: yes                # text in YAML 1.2; write true
      lr_scheduler_type: cosin

Passes:

    train:
      learning_rate: 1e-4
      packing: true
      lr_scheduler_type: cosine
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from tools.findings import Finding, quote
from tools.llamafactory.table import arguments, check_value
from tools.rules.subject import Subject
from tools.rules.train import Refusal, refusals

ID = "train-value"
KIND = "experiment"
NEEDS = ("train",)
_KINDS = {str: "text", bool: "a boolean", int: "a number", float: "a number", list: "a list", dict: "a mapping"}


def judge(key: str, value: Any) -> Refusal | None:
    """Refuse a value of the wrong type, none of the choices, or not finite."""
    argument = arguments()[key]
    allowed = check_value(argument, value)
    if allowed is None and not _finite(value):
        allowed = "finite numbers"
    if allowed is None:
        return None
    near = get_close_matches(value, argument.choices, n=1) if isinstance(value, str) and argument.choices else []
    return Refusal(f"{key} is {_show(value)}", allowed, f'did you mean "{near[0]}"?' if near else _remedy(value))


def _finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return all(_finite(item) for item in items)


def _show(value: Any) -> str:
    if value is None:
        return "empty"
    return f"{quote(value)} ({_KINDS[type(value)]})"


def _remedy(value: Any) -> str:
    if isinstance(value, str) and value.lower() in ("yes", "no", "on", "off"):
        return f"write {'true' if value.lower() in ('yes', 'on') else 'false'}"
    if isinstance(value, str) and value.replace(".", "").replace("e-", "").isdecimal():
        return "write it without quotes"
    return "correct the value"


def check(subject: Subject) -> Iterator[Finding]:
    """Yield what `judge` refused."""
    yield from refusals(subject, ID)
