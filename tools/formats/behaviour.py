"""`tenants/<tenant>/behaviours/<name>.yaml`: prompts, and checks that a model's answers must pass before it is promoted."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from tools.formats.base import Label, Strict, Text

# Answers are short: a long one is cut at `max_new_tokens`, and what was cut off passes no check that wants an end.
Phrase = Annotated[str, Field(min_length=1, max_length=200)]


class Checks(Strict):
    """What must hold of one answer; every check that is written must pass."""

    not_empty: Annotated[bool, Field(description="The answer has more than white space")] = True
    matches: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=1000,
            description="Regular expression found in the answer (Rust's regex syntax: linear time, no look-around, no back-references)",
        ),
    ] = None
    json_schema: Annotated[
        dict[str, Any] | None,
        Field(description="The whole answer is JSON that is valid by this schema (draft 2020-12)"),
    ] = None
    refuses: Annotated[
        bool | None, Field(description="true: the answer declines, by one of `refusal_phrases`; false: it does not")
    ] = None
    contains: Annotated[list[Phrase], Field(max_length=50, description="All stand in the answer, case aside")] = []
    banned: Annotated[list[Phrase], Field(max_length=200, description="None stands in the answer, case aside")] = []
    latency_seconds: Annotated[
        float | None, Field(gt=0, le=3600, description="Longest time for the whole answer, alone in its batch")
    ] = None


class Case(Strict):
    """One prompt with its checks."""

    name: Annotated[Label, Field(description="What reports call it")]
    prompt: Annotated[str, Field(min_length=1, max_length=8000, description="The user's message")]
    system: Annotated[
        str | None, Field(max_length=8000, description="System message; the template's own otherwise")
    ] = None
    max_new_tokens: Annotated[int, Field(ge=1, le=2048, description="Longest answer, tokens")] = 128
    checks: Checks = Checks()


class Behaviour(Strict):
    """Integration tests of a model."""

    version: Annotated[Literal[1], Field(description="Version of this format")]
    description: Annotated[Text, Field(description="What these prompts are to prove")]
    refusal_phrases: Annotated[
        list[Phrase],
        Field(max_length=50, description="Words of a refusal, besides the built-in Polish and English ones"),
    ] = []
    cases: Annotated[list[Case], Field(min_length=1, max_length=50)]
