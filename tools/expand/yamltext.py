"""Plain data as YAML text that every YAML reader understands alike, in the one way there is to write it.

PyYAML's own dumper writes for PyYAML's reader: it leaves `1e-4` (text) unquoted, which the trainer and the tools read as
a number. Here a text stays unquoted only when no reader could take it for anything else. A property test reads back what
this writes with the tools' own reader and with PyYAML.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

_PLAIN = re.compile(r"[A-Za-z/](?:[A-Za-z0-9._/@+-]|:(?=[A-Za-z0-9._/@+-])| (?=[A-Za-z0-9._/@+-]))*\Z")
# YAML 1.1 words for booleans and null, which YAML 1.2 readers take for text.
_AMBIGUOUS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


def dump(data: dict[str, Any]) -> str:
    """The mapping as block YAML; keys keep their order.

    Raises:
        ValueError: a number that is not finite, or a value that is no plain data.
    """
    return "".join(f"{line}\n" for line in _mapping(data, ""))


@lru_cache(maxsize=4096)  # keys and words come again in every lock
def text(value: str) -> str:
    """One text as a scalar: plain where that is safe, else in double quotes, letters unescaped and all else escaped."""
    if _PLAIN.match(value) and value.lower() not in _AMBIGUOUS:
        return value
    quoted = json.dumps(value, ensure_ascii=False)
    # JSON would write characters beyond 16 bits as two halves, which YAML reads as two characters.
    return quoted if quoted.isprintable() else "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in quoted)


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return text(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        return _number(value)
    message = f"{value!r} cannot be written as YAML"
    raise ValueError(message)


def _number(value: float) -> str:
    """Shortest digits that read back the same; a dot before the exponent, without which YAML 1.1 reads text."""
    digits = repr(value)
    return digits if "e" not in digits or "." in digits else digits.replace("e", ".0e")


def _mapping(data: dict[str, Any], indent: str) -> Iterator[str]:
    for key, value in data.items():
        name = f"{indent}{text(key)}:"
        if isinstance(value, dict) and value:
            yield name
            yield from _mapping(value, f"{indent}  ")
        elif isinstance(value, (list, tuple)) and value:
            yield name
            yield from _sequence(value, f"{indent}  ")
        else:
            yield f"{name} {_leaf(value)}"


def _sequence(items: list[Any] | tuple[Any, ...], indent: str) -> Iterator[str]:
    for item in items:
        if isinstance(item, dict) and item:
            lines = list(_mapping(item, f"{indent}  "))
            yield f"{indent}- {lines[0].lstrip()}"
            yield from lines[1:]
        elif isinstance(item, (list, tuple)) and item:
            yield f"{indent}-"
            yield from _sequence(item, f"{indent}  ")
        else:
            yield f"{indent}- {_leaf(item)}"


def _leaf(value: Any) -> str:
    if isinstance(value, dict):
        return "{}"
    return "[]" if isinstance(value, (list, tuple)) else _scalar(value)
