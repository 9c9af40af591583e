"""Plain data as YAML text that every YAML reader understands alike, in the one way there is to write it.

PyYAML's own dumper writes for PyYAML's reader: it leaves `1e-4` (text) unquoted, which the trainer and the tools read as
a number. Here a text stays unquoted only when no reader could take it for anything else. A property test reads back what
this writes with the tools' own reader and with PyYAML.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
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
    lines: list[str] = []
    _mapping(lines, data, "", "")
    return "\n".join(lines) + "\n" if lines else ""


def dump_list(items: Sequence[Any]) -> str:
    """The list as block YAML.

    Raises:
        ValueError: as `dump`.
    """
    lines: list[str] = []
    _sequence(lines, items, "")
    return "\n".join(lines) + "\n"


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


def _mapping(lines: list[str], data: dict[str, Any], first: str, indent: str) -> None:
    """Append the lines of a mapping that is not empty: the first one begins with `first`, all others with `indent`."""
    start = first
    for key, value in data.items():
        kind = type(value)
        if kind is str:  # by far the most
            lines.append(f"{start}{text(key)}: {text(value)}")
        elif kind is int:
            lines.append(f"{start}{text(key)}: {value}")
        elif isinstance(value, dict) and value:
            lines.append(f"{start}{text(key)}:")
            inner = f"{indent}  "
            _mapping(lines, value, inner, inner)
        elif isinstance(value, (list, tuple)) and value:
            lines.append(f"{start}{text(key)}:")
            _sequence(lines, value, f"{indent}  ")
        else:
            lines.append(f"{start}{text(key)}: {_leaf(value)}")
        start = indent


def _sequence(lines: list[str], items: Sequence[Any], indent: str) -> None:
    for item in items:
        if isinstance(item, dict) and item:
            _mapping(lines, item, f"{indent}- ", f"{indent}  ")
        elif isinstance(item, (list, tuple)) and item:
            lines.append(f"{indent}-")
            _sequence(lines, item, f"{indent}  ")
        else:
            lines.append(f"{indent}- {_leaf(item)}")


def _leaf(value: Any) -> str:
    if isinstance(value, dict):
        return "{}"
    return "[]" if isinstance(value, (list, tuple)) else _scalar(value)
