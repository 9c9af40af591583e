"""The difference between an experiment and the nearest earlier one of its tenant, leaf by leaf."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_PROSE = frozenset({"description", "owner", "state", "attempt"})
_MISSING = object()
_NESTED = (dict, list)


@dataclass(frozen=True, slots=True)
class Difference:
    """What changed since `name`: (dotted key, value there, value here), a value as JSON or None where the key is missing."""

    name: str
    changes: tuple[tuple[str, str | None, str | None], ...]


def nearest(here: Mapping[str, Any], earlier: Sequence[tuple[str, Mapping[str, Any]]]) -> Difference | None:
    """The difference from the experiment with the fewest differing leaves; among equals the last.

    here: the experiment as written; earlier: (name, experiment as written), oldest first. None without any. Who owns an
    experiment and how it is described changes no run, so it is left out.
    """
    new = dict(_leaves(here))
    found: tuple[str, dict[str, Any], list[str]] | None = None
    for name, there in earlier:
        old = dict(_leaves(there))
        keys = [key for key in old.keys() | new.keys() if not _same(old.get(key, _MISSING), new.get(key, _MISSING))]
        if found is None or len(keys) <= len(found[2]):
            found = name, old, keys
    if found is None:
        return None
    name, old, keys = found
    return Difference(name, tuple((key, _text(old, key), _text(new, key)) for key in sorted(keys)))


def _leaves(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        if type(item) is dict and item:
            yield from _leaves(item, f"{prefix}{name}.")
        elif prefix or name not in _PROSE:
            yield prefix + name, item


def _same(one: Any, other: Any) -> bool:
    """Whether their JSON is the same. Thousands are compared, and few are no plain values."""
    if type(one) is not type(other):
        return False
    return bool(one == other if type(one) not in _NESTED else _json(one) == _json(other))


def _text(leaves: Mapping[str, Any], key: str) -> str | None:
    return _json(leaves[key]) if key in leaves else None


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
