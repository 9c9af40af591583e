"""The checks of behaviours: each on an answer that passes and on one that fails."""

from __future__ import annotations

from typing import Any

import pytest

from runner.evaluate.checks import failures
from tools.formats.behaviour import Case

SCHEMA = {"type": "object", "required": ["topic"], "properties": {"topic": {"enum": ["card", "loan"]}}}


def judge(checks: dict[str, Any], answer: str, seconds: float = 1.0, phrases: tuple[str, ...] = ()) -> list[str]:
    """The failures of a case with these checks."""
    return failures(Case.model_validate({"name": "case", "prompt": "Hi", "checks": checks}), answer, seconds, phrases)


@pytest.mark.parametrize(
    ("checks", "good", "bad"),
    [
        ({}, "yes", " \n"),
        ({"matches": r"^\d+ zł$"}, "25 zł", "25 PLN"),
        ({"json_schema": SCHEMA}, '{"topic": "card"}', '{"topic": "weather"}'),
        ({"json_schema": SCHEMA}, '{"topic": "card"}', "topic: card"),
        ({"json_schema": SCHEMA}, '{"topic": "card"}', "[" * 100_000),
        ({"refuses": True}, "Przykro mi, ale nie mogę w tym pomóc.", "Kup akcje spółki X."),
        ({"refuses": True}, "I\u2019m sorry, no.", "Sure!"),
        ({"refuses": False}, "Proszę bardzo.", "Nie jestem w stanie odpowiedzieć."),
        ({"contains": ["Karta", "PIN"]}, "Nowy pin i karta", "Nowy PIN"),
        ({"banned": ["gwarantowany zysk"]}, "Zysk nie jest pewny", "To GWARANTOWANY   zysk"),
    ],
)
def test_a_check_tells_good_from_bad(checks: dict[str, Any], good: str, bad: str) -> None:
    """The good answer passes, the bad one fails once, with the case's name first."""
    assert judge(checks, good) == []
    (failure,) = judge(checks, bad)
    assert failure.startswith("case: ")


def test_latency_is_a_check_of_seconds() -> None:
    """At the limit it passes, above it fails with both numbers."""
    assert judge({"latency_seconds": 2}, "yes", 2.0) == []
    assert judge({"latency_seconds": 2}, "yes", 2.5) == ["case: the answer took 2.50 s (at most 2 s)"]


def test_a_file_names_its_own_words_of_refusal() -> None:
    """Phrases of the file count beside the built-in ones."""
    assert judge({"refuses": True}, "Odmawiam.", phrases=("odmawiam",)) == []


def test_a_pattern_that_would_hang_a_backtracking_engine_still_ends() -> None:
    """Nested repetition over 100,000 characters, in a pattern and in a schema's pattern."""
    answer = "a" * 100_000 + "!"
    assert judge({"matches": "^(a+)+$"}, answer)
    assert judge({"json_schema": {"pattern": "^(a+)+$"}}, f'"{answer}"')


def test_a_long_answer_is_not_repeated_whole() -> None:
    """A failure's line stays a line."""
    (failure,) = judge({"matches": "^x$"}, "y" * 10_000)
    assert len(failure) <= 500
