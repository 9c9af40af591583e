"""An experiment in the making, and what is said about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tools.findings import quote
from tools.importing.text import inline


@dataclass(slots=True)
class Draft:
    """An experiment in the making.

    fields: what is known of it; notices: (key of the source, what became of it); missing: what only the user can say.
    origin: key under `train:` -> the key of the source that it was renamed from; unknown: (key, its value as shown).
    """

    fields: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)
    notices: list[tuple[str, str]] = field(default_factory=list)
    missing: list[tuple[str, str]] = field(default_factory=list)
    origin: dict[str, str] = field(default_factory=dict)
    unknown: list[tuple[str, str]] = field(default_factory=list)

    def notice(self, key: str, text: str) -> None:
        """Say what became of a key of the source."""
        self.notices.append((self.origin.get(key, key), text))


def show(value: Any, key: str = "") -> str:
    """A value for a notice; secrets stay secret."""
    if any(word in key for word in ("token", "api_key", "password", "secret")):
        return "(a secret)"
    return quote(value if isinstance(value, str) else inline(value))
