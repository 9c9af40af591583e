"""Judges each `train:` key by itself, once, so that one fault is one finding.

The first judge that refuses a key ends its case: a key that the platform owns is not looked at for its type, one of the
wrong type not for its range. Rules about combinations look at what is left (`Judged.sound`) and so never repeat a fault.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from tools.findings import Finding, Severity

if TYPE_CHECKING:
    from tools.rules.subject import Subject

# In the order of judgement; each module has ID and judge(key, value).
JUDGES = (
    "train_unknown_key",
    "train_platform_key",
    "train_value",
    "train_path",
    "train_range",
    "train_package",
)


class Refusal(NamedTuple):
    """Why a judge refuses a key; `at_key` places the finding at the key instead of the value."""

    found: str
    allowed: str | None = None
    remedy: str | None = None
    at_key: bool = False
    severity: Severity = "error"


_NUMBERS = frozenset({int, float, bool, type(None)})
_SHORT = 64  # characters of a key or text whose verdict is kept
Judge = Callable[[str, Any], Refusal | None]


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdict on a `train:` mapping.

    sound: keys that no judge refused, with their values.
    refused: rule id -> the keys it refused.
    """

    sound: Mapping[str, Any]
    refused: Mapping[str, list[tuple[str, Refusal]]]


@cache
def _judges() -> tuple[tuple[str, Judge], ...]:
    modules = (importlib.import_module(f"tools.rules.{name}") for name in JUDGES)
    return tuple((module.ID, module.judge) for module in modules)


def judge(train: Mapping[str, Any]) -> Judged:
    """Put each key before the judges; interpolated ones are left out, as the rule `interpolation` reports them."""
    sound = {}
    refused: dict[str, list[tuple[str, Refusal]]] = {}
    for key, value in train.items():
        if "${" in key or interpolated(value):
            continue
        verdict = _verdict(key, value)
        if verdict is not None:
            refused.setdefault(verdict[0], []).append((key, verdict[1]))
        if verdict is None or verdict[1].severity == "warning":
            sound[key] = value
    return Judged(sound, refused)


def _verdict(key: str, value: Any) -> tuple[str, Refusal] | None:
    """The same keys with the same values come again in thousands of experiments."""
    kind = type(value)
    short = len(key) <= _SHORT and (kind in _NUMBERS or (kind is str and len(value) <= _SHORT))
    return (_kept if short and value != 0 else _asked)(key, value)  # 0.0 and -0.0 are equal and not the same


def _asked(key: str, value: Any) -> tuple[str, Refusal] | None:
    for rule, judge_of_rule in _judges():
        refusal = judge_of_rule(key, value)
        if refusal is not None:
            return rule, refusal
    return None


_kept = lru_cache(maxsize=4096, typed=True)(_asked)


def refusals(subject: Subject, rule: str) -> Iterator[Finding]:
    """The findings of one judge about an experiment."""
    for key, refusal in subject.judged.refused.get(rule, ()):
        finding = subject.parsed.document.finding(
            ("train", key), rule, refusal.found, refusal.allowed, refusal.remedy, key=refusal.at_key
        )
        yield finding if refusal.severity == "error" else replace(finding, severity=refusal.severity)


def interpolated(value: Any) -> bool:
    """Whether a value holds `${` anywhere."""
    if type(value) is str:
        return "${" in value
    return type(value) not in _NUMBERS and any("${" in text for text in texts(value))


def texts(value: Any) -> Iterator[str]:
    """All texts in a value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


def later(subject: Subject, *keys: str) -> list[str]:
    """Train keys in the order in which the file has them."""
    places = subject.parsed.document.keys
    return sorted(keys, key=lambda key: places.get(("train", key), (0, 0)))
