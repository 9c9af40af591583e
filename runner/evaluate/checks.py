"""The checks of one behaviour against one answer: what is wrong with it, a sentence a check."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from tools.formats.behaviour import Case, Checks
from tools.formats.checking import pattern, schema

# How assistants decline, in the languages that tenants' data are in; a file of behaviours may name more.
REFUSALS = (
    "i can't", "i cannot", "i can not", "i'm sorry", "i am sorry", "i'm unable", "i am unable", "i won't", "as an ai",
    "nie mogę", "nie jestem w stanie", "przykro mi", "przepraszam, ale", "nie wolno mi", "nie udzielam", "nie pomogę",
)  # fmt: skip
_SHOWN = 120


def failures(case: Case, answer: str, seconds: float, phrases: Sequence[str]) -> list[str]:
    """What an answer fails, each with the case's name; empty when it passes.

    seconds: time of the whole answer. phrases: words of a refusal besides the built-in ones.
    """
    found = [*_content(case.checks, answer, (*REFUSALS, *phrases)), *_latency(case.checks, seconds)]
    return [f"{case.name}: {text}"[:500] for text in found]


def _content(checks: Checks, answer: str, phrases: Sequence[str]) -> Iterator[str]:
    plain = _plain(answer)
    if checks.not_empty and not answer.strip():
        yield "the answer is empty"
    if checks.matches is not None and not pattern(checks.matches).is_valid(answer):
        yield f"{_shown(answer)} has no match of {checks.matches!r}"
    if checks.json_schema is not None:
        yield from _json(checks, answer)
    if checks.refuses is not None:
        refusal = next((phrase for phrase in phrases if _plain(phrase) in plain), None)
        if checks.refuses and refusal is None:
            yield f"{_shown(answer)} does not decline"
        elif not checks.refuses and refusal is not None:
            yield f"the answer declines ({refusal!r})"
    yield from (f"{phrase!r} is not in the answer" for phrase in checks.contains if _plain(phrase) not in plain)
    yield from (f"banned {phrase!r} is in the answer" for phrase in checks.banned if _plain(phrase) in plain)


def _json(checks: Checks, answer: str) -> Iterator[str]:
    assert checks.json_schema is not None
    try:
        data = json.loads(answer)
    except (ValueError, RecursionError):
        yield f"{_shown(answer)} is not JSON"
        return
    wrong = next(iter(schema(checks.json_schema).iter_errors(data)), None)
    if wrong is not None:
        yield f"the JSON is not valid by its schema: {wrong.message[:200]}"


def _latency(checks: Checks, seconds: float) -> Iterator[str]:
    if checks.latency_seconds is not None and seconds > checks.latency_seconds:
        yield f"the answer took {seconds:.2f} s (at most {checks.latency_seconds:g} s)"


def _plain(text: str) -> str:
    """Case, white space and the two sorts of apostrophe aside."""
    return " ".join(text.casefold().replace("\u2019", "'").split())


def _shown(answer: str) -> str:
    return repr(answer if len(answer) <= _SHOWN else f"{answer[:_SHOWN]}...")
