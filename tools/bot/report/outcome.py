"""What the bot decided about a merged merge request's experiments, where git shows no run (yet)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tools.bot.records import MergeRequest
from tools.bot.report.following import Promise, Seen
from tools.bot.store import Store

_STOPPED = "its merge request set `state: cancelled`"


def explained(store: Store, request: MergeRequest, environments: Sequence[str], seen: Sequence[Seen]) -> list[Seen]:
    """The same runs, refused or waiting with the reasons of the verdict, and the experiments that had nothing to start."""
    rows = {(row["experiment"], row["environment"]): row for row in _rows(store, request, environments)}
    found = []
    for each in seen:
        row = rows.pop((_file(each.promise), each.promise.environment), None)
        found.append(_with(each, row) if row is not None and each.state == "waiting" else each)
    return [*found, *(_alone(row) for row in rows.values())]


def _rows(store: Store, request: MergeRequest, environments: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """The verdict's runs of the commit that the merge brought to main, whichever way it was merged."""
    for commit in (request.merge_commit_sha, request.squash_commit_sha, request.head_sha):
        for environment in environments if commit else ():
            verdict = store.verdict(str(commit), environment) or {"runs": [], "reasons": []}
            for row in verdict["runs"]:
                if row["merge_request"] == request.iid:
                    yield {**row, "reasons": [*row["reasons"], *verdict["reasons"]]}


def _with(seen: Seen, row: Mapping[str, Any]) -> Seen:
    if row["state"] not in {"refused", "waiting"}:
        return seen
    return replace(seen, state=row["state"], reason="", reasons=tuple(row["reasons"]))


def _alone(row: Mapping[str, Any]) -> Seen:
    """An experiment that the comment promised nothing for: it was cancelled, or had faults."""
    _, tenant, file = row["experiment"].split("/")
    promise = Promise(row["environment"], tenant, file.removesuffix(".yaml"), row["run_id"], row["sha256"])
    reason = _STOPPED if row["state"] == "cancelled" else ""
    return Seen(promise, row["state"], reason, reasons=tuple(row["reasons"]))


def _file(promise: Promise) -> str:
    return f"experiments/{promise.tenant}/{promise.name}.yaml"
