"""Regular expressions and JSON Schemas from merge requests, compiled by engines that no input can hold up or send elsewhere.

Rust's regex crate takes time linear in the text (https://docs.rs/regex, "Untrusted input"), which Python's re does not; compiled
patterns are limited in size. A schema may refer to its own parts only: nothing is fetched or read from a file.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jsonschema_rs

_COMPILED_BYTES = 1_000_000
_CACHE_BYTES = 10_000_000


class Unusable(ValueError):  # noqa: N818 - a verdict on what somebody wrote
    """The pattern or schema cannot be compiled; the message says why, in a line."""


@cache
def pattern(text: str) -> jsonschema_rs.Draft202012Validator:
    """What tells whether a text holds a match of the pattern, by `is_valid`.

    Raises:
        Unusable: it is no regular expression of Rust's syntax, or too large.
    """
    try:
        return _validator({"type": "string", "pattern": text})
    except ValueError as error:
        raise Unusable("no such regular expression, or too large once compiled") from error


def schema(data: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
    """What tells whether data is valid by the schema (draft 2020-12), by `is_valid` and `iter_errors`.

    Raises:
        Unusable: it is no schema, or refers to something outside itself.
    """
    try:
        return _validator(data)
    except ValueError as error:
        raise Unusable(str(error).split("\n", 1)[0][:300]) from error


def _validator(data: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
    import jsonschema_rs

    options = jsonschema_rs.RegexOptions(size_limit=_COMPILED_BYTES, dfa_size_limit=_CACHE_BYTES)
    return jsonschema_rs.Draft202012Validator(data, pattern_options=options, retriever=_refuse)


def _refuse(address: str) -> Any:
    raise ValueError(f"a reference to {address}")
