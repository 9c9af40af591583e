"""A round's decisions as the store keeps them: for each landing on main what became of every experiment in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tools.bot.authorize.history import Landing
from tools.bot.authorize.judging import Decided
from tools.bot.authorize.restoring import reason

Row = dict[str, Any]
_MOST_NAMED = 3  # in the first line of a commit message


def of_landing(
    landing: Landing, decided: Sequence[Decided], restored: Sequence[str], environment: str, obstacles: Sequence[str]
) -> Row:
    """The verdict on one commit of main: `state` is waiting while its runs could start and something else is in the way.

    restored: experiments that were put back.
    """
    own = [each for each in decided if each.candidate.landing.commit == landing.commit]
    held = [each for each in own if obstacles and (each.starts or each.stops)]
    rows = [_run(each, environment, "waiting" if each in held else each.state) for each in own]
    for each in decided:
        if each.candidate.landing.commit != landing.commit and each.candidate.file in landing.changed:
            again = f"{each.candidate.landing.name} changed {each.candidate.file} again before it was authorized"
            rows.append(_refused(each.candidate.file, landing, environment, f"{again}: its own verdict counts"))
    known = {row["experiment"] for row in rows}
    rows += [
        _refused(path, landing, environment, reason(path))
        for path in restored
        if path in landing.changed and path not in known
    ]
    for row in rows:
        if row["experiment"] in restored and row["experiment"] in known and row["state"] == "refused":
            row["reasons"].append(reason(row["experiment"]))
    return {"state": "waiting" if held else "decided", "runs": rows, "reasons": list(obstacles) if held else []}


def _run(decided: Decided, environment: str, state: str) -> Row:
    candidate, lock = decided.candidate, decided.candidate.lock
    merge_request = candidate.landing.merge_request
    return {
        "experiment": candidate.file,
        "environment": environment,
        "run_id": lock.run_id if lock else "",
        "sha256": lock.sha256 if lock else "",
        "attempt": candidate.run.attempt,
        "state": state,
        "merge_request": merge_request.iid if merge_request else None,
        "reasons": list(decided.verdict.reasons),
    }


def _refused(file: str, landing: Landing, environment: str, why: str) -> Row:
    merge_request = landing.merge_request
    return {
        "experiment": file,
        "environment": environment,
        "run_id": "",
        "sha256": "",
        "attempt": 1,
        "state": "refused",
        "merge_request": merge_request.iid if merge_request else None,
        "reasons": [why],
    }


def subject(
    environment: str,
    decided: Sequence[Decided],
    restored: Sequence[str],
    main: str,
    served: Mapping[str, Sequence[str]],
) -> str:
    """The first line of the commit. served: what becomes of files below serving/ and recalls/, by verb."""
    named = {
        "authorize": [each.candidate.file for each in decided if each.starts],
        "cancel": [each.candidate.file for each in decided if each.stops],
        **served,
        "put back": [*restored, *served.get("put back", ())],
    }
    parts = [f"{verb} {_names(files)}" for verb, files in named.items() if files] or [f"deploy {main[:12]}"]
    return f"{environment}: {', '.join(parts)}"


def _names(files: Sequence[str]) -> str:
    names = [file.removeprefix("experiments/").removeprefix("serving/").removesuffix(".yaml") for file in files]
    return ", ".join(names[:_MOST_NAMED]) + (f" and {len(names) - _MOST_NAMED} more" if names[_MOST_NAMED:] else "")
