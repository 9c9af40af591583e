"""Two registered versions side by side: metrics, evaluation, data, parameters and cost."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from tools.errors import UsageError
from tools.formats.audit import Audit
from tools.formats.evaluation import RESULT_TAG, from_tag
from tools.models.listing import of_tags
from tools.models.versions import ModelVersion, RunData

_REFERENCE = re.compile(r"(?P<name>[a-z0-9-]+\.[a-z0-9-]+)(?:@(?P<alias>[A-Za-z0-9_-]+)|:(?P<number>[1-9][0-9]*))\Z")
_WHAT = ("base_model", "base_model_revision", "image", "git_commit", "approvers", "merge_request", "evaluation")


class Row(NamedTuple):
    """One line: what is compared, and both values; empty where one has none."""

    part: str
    name: str
    one: str
    other: str

    @property
    def differs(self) -> bool:
        """Whether the two are not the same."""
        return self.one != self.other


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two."""

    version: ModelVersion
    data: RunData
    record: Audit | None

    @property
    def name(self) -> str:
        """`team-a.support:3`."""
        return f"{self.version.name}:{self.version.number}"


def find(versions: Mapping[str, list[ModelVersion]], reference: str) -> ModelVersion:
    """The version that a person names.

    Raises:
        UsageError: it is no reference, or there is no such version.
    """
    match = split(reference)
    known = versions.get(match["name"], [])
    if match["alias"]:
        found = next((each for each in known if match["alias"] in each.aliases), None)
    else:
        found = next((each for each in known if each.number == int(match["number"])), None)
    if found is None:
        there = ", ".join(f"{each.name}:{each.number}" for each in known[:10]) or "no version"
        raise UsageError(f"the registry has no {reference}; there is {there}; `ft models` lists all")
    return found


def split(reference: str) -> re.Match[str]:
    """Name, and alias or number.

    Raises:
        UsageError: it is no reference.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        example = "TENANT.MODEL@ALIAS or TENANT.MODEL:VERSION, for instance team-a.support@champion"
        raise UsageError(f"{reference!r} names no version; allowed: {example}; `ft models` lists them")
    return match


def rows(one: Side, other: Side) -> Iterator[Row]:
    """Every line; parameters and metrics only where one of the two has them."""
    yield from _pairs("model", *({name: side.version.tags.get(name, "") for name in _WHAT} for side in (one, other)))
    yield from _pairs("data", *(of_tags(side.version.tags, "dataset_sha256.") for side in (one, other)))
    yield from _pairs("evaluation", _evaluation(one), _evaluation(other))
    yield from _pairs("metrics", *({k: f"{v:.6g}" for k, v in side.data.metrics.items()} for side in (one, other)))
    yield from _pairs("parameters", dict(one.data.params), dict(other.data.params))
    yield from _pairs("cost", _cost(one.record), _cost(other.record))


def _pairs(part: str, one: Mapping[str, str], other: Mapping[str, str]) -> Iterator[Row]:
    for name in sorted({*one, *other}):
        row = Row(part, name, one.get(name, ""), other.get(name, ""))
        if row.one or row.other:
            yield row


def _evaluation(side: Side) -> dict[str, str]:
    found = from_tag(side.version.tags.get(RESULT_TAG, ""))
    own = next((model for model in found.models if model.role == "candidate"), None) if found is not None else None
    scores = own.scores if own is not None else {}
    held = {f"held-out data {name}": sha256 for name, sha256 in found.datasets.items()} if found is not None else {}
    return {**held, **{n: f"{s.value:.4g} [{s.low:.4g}, {s.high:.4g}]" for n, s in scores.items()}}


def _cost(record: Audit | None) -> dict[str, str]:
    if record is None:
        return {}
    outcome = record.last.outcome
    measured = outcome.measured if outcome is not None else None
    return {
        "GPU-hours, at most": f"{record.estimated.gpu_hours_limit:g}",
        "GPU-hours, measured": f"{measured.gpu_hours:g}" if measured is not None else "",
        "attempts": str(len(record.attempts)),
    }
