"""Whether a live object says everything that a manifest says; what it says besides (defaults, status) is its own matter."""

from __future__ import annotations

import os.path
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_LONG = 80
_BEFORE = 20
# Kinds whose server or controller writes them back without what is false or empty. Elsewhere a false is a pointer's: kept,
# and meant.
_ARGOCD = "argoproj.io/"
_WITHOUT_ZEROS = frozenset({"PriorityClass", "PersistentVolume"})


@dataclass(frozen=True, slots=True)
class Difference:
    """Where, what is there and what should be."""

    path: str
    found: str
    wanted: str


def differences(wanted: dict[str, Any], live: dict[str, Any]) -> list[Difference]:
    """All places where the live object says something else, in the manifest's order."""
    body = {key: value for key, value in wanted.items() if key not in {"apiVersion", "kind", "metadata"}}
    meta = wanted["metadata"]
    named = {"metadata": {key: meta[key] for key in ("labels", "annotations", "finalizers") if key in meta}}
    if wanted["kind"] == "ConfigMap":
        named = {}  # an Argo CD that manages its own ConfigMaps takes our keys, not our labels
    zeros = wanted["kind"] in _WITHOUT_ZEROS or str(wanted.get("apiVersion")).startswith(_ARGOCD)
    absent: tuple[Any, ...] = (None, {}, [], False, "") if zeros else (None, {}, [])
    return [found for part in (named, body) for found in _mapping("", part, live, absent)]


def _mapping(path: str, wanted: dict[str, Any], live: dict[str, Any], absent: tuple[Any, ...]) -> Iterator[Difference]:
    for key, value in wanted.items():
        yield from _value(f"{path}.{key}" if path else str(key), value, live.get(key), absent)


def _value(path: str, wanted: Any, live: Any, absent: tuple[Any, ...]) -> Iterator[Difference]:
    if live in (None, {}, []) and any(type(wanted) is type(value) and wanted == value for value in absent):
        return  # written back without what is empty
    if isinstance(wanted, dict) and isinstance(live, dict):
        yield from _mapping(path, wanted, live, absent)
    elif path == "metadata.finalizers" and isinstance(live, list):
        yield from (Difference(path, "nothing", str(entry)) for entry in wanted if entry not in live)
    elif isinstance(wanted, list) and isinstance(live, list) and len(wanted) == len(live):
        for index, (left, right) in enumerate(zip(wanted, live, strict=True)):
            yield from _value(f"{path}[{index}]", left, right, absent)
    elif not _same(wanted, live):
        yield Difference(path, *_in_words(live, wanted))


def _same(wanted: Any, live: Any) -> bool:
    """Equal, or two ways to write one quantity (`1000m` and `1`)."""
    if wanted == live and type(wanted) is type(live):
        return True
    if isinstance(wanted, bool) or isinstance(live, bool):
        return False
    from kubernetes.utils import parse_quantity

    try:
        return bool(parse_quantity(wanted) == parse_quantity(live))
    except (ValueError, TypeError):
        return False


def _in_words(live: Any, wanted: Any) -> tuple[str, str]:
    """Both sides short; of long texts the part from where they differ."""
    if not isinstance(live, str) or not isinstance(wanted, str):
        return _short(live), _short(wanted)
    start = max(0, len(os.path.commonprefix([live, wanted])) - _BEFORE)  # noqa: RUF071 - characters are meant
    if start == 0 or max(len(live), len(wanted)) <= _LONG:
        return _short(live), _short(wanted)
    return _short(f"...{live[start:]}"), _short(f"...{wanted[start:]}")


def _short(value: Any) -> str:
    if value is None:
        return "nothing"
    text = " ".join(str(value).split())
    return text if len(text) <= _LONG else f"{text[: _LONG - 3]}..."
