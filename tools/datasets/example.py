"""What is trained on, the same for every format: LLaMA Factory's aligned row.

Source: llamafactory/data/converter.py, `align_dataset`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from tools.datasets.faults import RowFault, kind

Role = Literal["user", "assistant", "observation", "function", "text"]
MEDIA = frozenset({"image", "images", "audio", "audios", "video", "videos"})
_PLACEHOLDERS = ("<image>", "<video>", "<audio>")


class Turn(NamedTuple):
    """One message. The role `text` is a row of plain text for pre-training."""

    role: Role
    content: str


class Example(NamedTuple):
    """One row: the turns before the answer, and the answer (two of them in a preference pair, none in plain text)."""

    system: str
    tools: str
    turns: tuple[Turn, ...]
    answers: tuple[Turn, ...]

    @property
    def empty(self) -> bool:
        """Whether an answer has no text."""
        return any(not turn.content.strip() for turn in self.answers or self.turns)


def text(value: Any, name: str, number: int | None = None) -> str:
    """A value that must be text, without media placeholders. `name` and `number` (of a message) say where it stands.

    Raises:
        RowFault: it is not.
    """
    if type(value) is not str:
        found = "is missing or null" if value is None else f"is {kind(value)}"
        raise RowFault(f"{place(name, number)} {found}", "text", "write the text, or delete the row")
    if "<" in value:
        for placeholder in _PLACEHOLDERS:
            if placeholder in value:
                raise RowFault(
                    f"{place(name, number)} holds {placeholder}", "text only: media are not supported", "delete the row"
                )
    return value


def place(name: str, number: int | None = None) -> str:
    """A column, or one of its messages, as messages to the user name it."""
    return f'"{name}"' if number is None else f'message {number} of "{name}"'


def optional_text(value: Any, name: str) -> str:
    """As `text`; empty for null."""
    return "" if value is None else text(value, name)


def refuse_media(row: Mapping[str, Any]) -> None:
    """Raise a RowFault when the row brings images, audio or video."""
    if MEDIA.isdisjoint(row):
        return
    for name in sorted(MEDIA & row.keys()):
        if row[name]:
            raise RowFault(
                f'the column "{name}" holds media', "text only: media are not supported", f'delete the column "{name}"'
            )


def refuse_kto(value: Any, column: str) -> None:
    """Raise a RowFault when the value of the KTO column is not true or false."""
    if type(value) is not bool:
        found = "is missing or null" if value is None else f"is {kind(value)}"
        raise RowFault(
            f'"{column}" {found}', "true or false", "say which answers are wanted; LLaMA Factory skips others"
        )
