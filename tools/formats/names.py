"""Names and paths from the command line, held to the same patterns as those in files."""

from __future__ import annotations

from pydantic import TypeAdapter, ValidationError

from tools.errors import UsageError
from tools.formats.base import PATTERN_IN_WORDS, Label, RelativePath

_LABEL, _PATH = TypeAdapter(Label), TypeAdapter(RelativePath)


def refuse_label(value: str, option: str) -> None:
    """Raise a UsageError unless the option's value is a DNS label."""
    _refuse(_LABEL, value, option, "a DNS label")


def refuse_path(value: str, option: str) -> None:
    """Raise a UsageError unless the option's value is a relative path."""
    _refuse(_PATH, value, option, "a relative path")


def _refuse(adapter: TypeAdapter[str], value: str, option: str, kind: str) -> None:
    try:
        adapter.validate_python(value)
    except ValidationError:
        words = next(words for words in PATTERN_IN_WORDS.values() if words.startswith(kind))
        raise UsageError(f"{option} {value!r}; allowed: {words}; choose another") from None
