"""Pairs of (by the formulas, measured) out of the audit records, read fast: every plan asks for them.

A record is generated, so its shape is known; only the lines that count are looked at. `ft expand --check` compares every record
completely. Measurements are the tenants' own word (tools/formats/audit.py), so nobody here takes a number for more than a hint.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import NamedTuple

from tools.plan.memory import CUDA_CONTEXT
from tools.yamlsource.document import Refused
from tools.yamlsource.files import read

# Raise it when the formulas of peak memory or hours change: what was learnt about others corrects nothing.
FORMULAS = 1

_SIGNS = ("\n  predicted:\n", "\n      result: finished\n")
_TENANT = re.compile(r"^tenant: \"?([a-z0-9-]+)\"?$", re.MULTILINE)
_TRAINED = re.compile(
    r"^trained:\n  model: \"?([a-z0-9-]+)\"?\n  gpu: (?!null$)\"?([a-z0-9-]+)\"?\n  method: (lora|qlora|full)$",
    re.MULTILINE,
)
_PREDICTED = re.compile(r"^  predicted:\n((?:    .*\n)+)", re.MULTILINE)
_NUMBER = re.compile(r"^    ([a-z_]+): ([0-9.e+-]+)$", re.MULTILINE)
_ATTEMPT = re.compile(r"^  - attempt: [1-9][0-9]*\n", re.MULTILINE)
_FINISHED = re.compile(r"^      result: finished\n      at: \"?([0-9TZ:-]{20})\"?$", re.MULTILINE)
_PEAK = re.compile(r"^        peak_memory_bytes: ([0-9]+)$", re.MULTILINE)
_HOURS = re.compile(r"^        training_hours: ([0-9.e+-]+)$", re.MULTILINE)
_DIGITS = 18  # of a number of bytes that is worth reading


class Kind(NamedTuple):
    """What runs have in common, the coarsest first."""

    gpu: str
    method: str
    model: str


class Pair(NamedTuple):
    """One finished run. memory, hours: ln(measured / by the formulas), None where one of the two is missing."""

    kind: Kind
    tenant: str
    at: str
    memory: float | None
    hours: float | None


def pairs(root: Path) -> list[Pair]:
    """Of all finished runs on GPUs, newest first; what cannot be read teaches nothing."""
    folders = (
        folder for folder in root.glob("audit/*/*") if not folder.is_symlink() and not folder.parent.is_symlink()
    )
    found = (pair for folder in folders for path in folder.glob("*.yaml") if (pair := _pair(path)) is not None)
    return sorted(found, key=lambda pair: (pair.at, pair), reverse=True)


def on_device(logged_bytes: int) -> float:
    """Bytes that a GPU held, from what the runner logs: torch's own count, which leaves the CUDA context out."""
    return logged_bytes + CUDA_CONTEXT


def _pair(path: Path) -> Pair | None:
    try:
        text = read(path, path.name)
    except Refused:
        return None
    if not all(sign in text for sign in _SIGNS):
        return None
    tenant, trained, predicted = _TENANT.search(text), _TRAINED.search(text), _PREDICTED.search(text)
    ended = next((part for part in reversed(_ATTEMPT.split(text)) if _FINISHED.search(part)), None)
    if tenant is None or trained is None or predicted is None or ended is None:
        return None
    model, gpu, method = trained.groups()
    said = dict(_NUMBER.findall(predicted[1]))
    if said.get("formulas") != str(FORMULAS):
        return None
    at, peak, hours = _FINISHED.search(ended), _PEAK.search(ended), _HOURS.search(ended)
    assert at is not None
    memory = on_device(int(peak[1][:_DIGITS])) if peak is not None else None
    return Pair(
        Kind(gpu, method, model),
        tenant[1],
        at[1],
        _ratio(memory, said.get("formula_peak_bytes")),
        _ratio(_number(hours[1]) if hours is not None else None, said.get("formula_hours")),
    )


def _ratio(measured: float | None, text: str | None) -> float | None:
    by_formula = _number(text)
    if measured is None or by_formula is None or measured <= 0 or by_formula <= 0:
        return None
    return math.log(measured) - math.log(by_formula)


def _number(text: str | None) -> float | None:
    """A finite number; the regular expression lets through what is none."""
    try:
        found = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return found if math.isfinite(found) else None
