"""The difference between an experiment and the nearest earlier one of its tenant, leaf by leaf."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_PROSE = frozenset({"description", "owner", "state", "attempt"})


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
    found: Difference | None = None
    for name, there in earlier:
        candidate = Difference(name, tuple(_changes(there, here)))
        if found is None or len(candidate.changes) <= len(found.changes):
            found = candidate
    return found


def _changes(there: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[tuple[str, str | None, str | None]]:
    old, new = dict(_leaves(there)), dict(_leaves(here))
    for key in sorted(old.keys() | new.keys()):
        if key not in _PROSE and old.get(key) != new.get(key):
            yield key, old.get(key), new.get(key)


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for name, item in value.items():
            yield from _leaves(item, f"{key}.{name}" if key else name)
    else:
        yield key, json.dumps(value, ensure_ascii=False, sort_keys=True)
