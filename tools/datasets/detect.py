"""Which format the file has and which of its columns mean what, from its first rows and what the user says.

Columns are known by the names of published datasets: Alpaca, Dolly (context), GSM8K (question, answer), OpenOrca
(system_prompt), TRL (prompt, completion, label), Hugging Face chats (messages), ShareGPT (conversations).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tools.datasets.faults import RowFault, kind
from tools.datasets.layout import COLUMNS, TAGS, Format, Layout
from tools.errors import UsageError

Sample = Sequence[Mapping[str, Any]]

_NAMES: Mapping[str, tuple[str, ...]] = {
    "prompt": ("instruction", "prompt", "question", "problem"),
    "query": ("input", "context"),
    "response": ("output", "response", "completion", "answer", "solution"),
    "history": ("history",),
    "messages": ("messages", "conversations", "conversation"),
    "system": ("system", "system_prompt"),
    "tools": ("tools",),
    "chosen": ("chosen",),
    "rejected": ("rejected",),
    "kto_tag": ("kto_tag", "label"),
}
# Columns that change what is trained: one that turns up only later must not be lost in silence.
TELLING = frozenset(name for names in _NAMES.values() for name in names)
_WAYS = (
    "instruction (or prompt, question) with output (or response, completion, answer), or messages (or conversations), "
    "or text for pre-training"
)


@dataclass(frozen=True, slots=True)
class Choice:
    """What the user says: `--as`, `--column LLAMA_FACTORY_NAME=NAME` (empty NAME: leave it out) and `--tag`."""

    format: Format | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


def detect(sample: Sample, choice: Choice) -> Layout:
    """The layout of the file whose first rows these are.

    Raises:
        RowFault: the columns are not recognised; says which --column to give.
        UsageError: the choice contradicts itself.
    """
    seen = {key: value for row in reversed(sample) for key, value in row.items() if value is not None}
    for name in choice.columns.values():
        if name and not any(name in row for row in sample):
            raise RowFault(f'no row at the beginning has the column "{name}"', ", ".join(seen), "correct --column")
    found = _columns(seen, choice)
    format_ = choice.format or _format(found, seen, sample, choice)
    _refuse_foreign(choice, format_)
    if format_ == "alpaca":
        return _alpaca(found, seen, choice)
    return _conversation(found, seen, sample, choice)


def _columns(seen: Mapping[str, Any], choice: Choice) -> dict[str, str]:
    """LLaMA Factory's columns that the file has, the user's word first."""
    found = {}
    for column, names in _NAMES.items():
        given = choice.columns.get(column)
        name = given if given is not None else next((name for name in names if name in seen), None)
        if name and (given is not None or _fits(column, seen.get(name))):
            found[column] = name
    return found


def _fits(column: str, value: Any) -> bool:
    """Whether the first value looks like the column's: `label` may be a class, `conversation` an id."""
    if column == "messages":
        return type(value) is list
    return type(value) is bool if column == "kto_tag" else True


def _format(found: Mapping[str, str], seen: Mapping[str, Any], sample: Sample, choice: Choice) -> Format:
    if "messages" not in found or {"prompt", "response", "query", "history"} & choice.columns.keys():
        return "alpaca"
    turns = _messages(found, sample)
    tool_use = any(turn.get("tool_calls") or turn.get("role") == "tool" for turn in turns)
    listed_tools = type(seen.get(found.get("tools", ""))) is list and any("role" in turn for turn in turns)
    return "openai" if tool_use or listed_tools else "sharegpt"


def _alpaca(found: dict[str, str], seen: Mapping[str, Any], choice: Choice) -> Layout:
    names = {column: name for column, name in found.items() if column in COLUMNS["alpaca"]}
    pair = "chosen" in names and "rejected" in names
    if not pair:
        names.pop("chosen", None), names.pop("rejected", None)
    else:
        _refuse_whole_conversations(names, seen)
        names.pop("response", None), names.pop("kto_tag", None)
    if "prompt" in names and (pair or "response" in names):
        if "kto_tag" in names and "response" not in names:
            del names["kto_tag"]
        return Layout("alpaca", names, {})
    if "prompt" in choice.columns:
        return Layout("alpaca", {"prompt": names["prompt"]}, {})
    if "text" in seen and "prompt" not in names:
        return Layout("alpaca", {"prompt": "text"}, {})
    raise _unknown(seen, "prompt" if "prompt" not in names else "response")


def _unknown(seen: Mapping[str, Any], missing: str) -> RowFault:
    for name, value in seen.items():
        if len(seen) == 1 and type(value) is list and value and type(value[0]) is dict:
            return RowFault(
                f'one object that holds the rows under "{name}"',
                "an array of objects [{...}, {...}], or one object on each line",
                f"take the list out of it, for instance: jq '.{name}' FILE > rows.json",
            )
    columns = ", ".join(seen) or "none"
    return RowFault(f"no column is known as {missing}: {columns}", _WAYS, f"give --column {missing}=NAME")


def _refuse_whole_conversations(names: Mapping[str, str], seen: Mapping[str, Any]) -> None:
    for column in ("chosen", "rejected"):
        value = seen.get(names[column])
        if type(value) is list:
            raise RowFault(
                f'"{names[column]}" is a whole conversation',
                "one answer: text beside a prompt, or one message beside messages",
                "move what both have in common into messages and keep the last message of each",
            )
        if value is not None and type(value) is not str:
            raise RowFault(
                f'"{names[column]}" is {kind(value)}', "text", "give the messages with --column messages=NAME"
            )


def _conversation(found: dict[str, str], seen: Mapping[str, Any], sample: Sample, choice: Choice) -> Layout:
    format_ = choice.format or _format(found, seen, sample, choice)
    names = {column: name for column, name in found.items() if column in COLUMNS[format_]}
    if "messages" not in names:
        raise _unknown(seen, "messages")
    if "chosen" in names and "rejected" in names:
        if any(type(seen.get(names[column])) is list for column in ("chosen", "rejected")):
            _refuse_whole_conversations(names, seen)
        names.pop("kto_tag", None)
    else:
        names.pop("chosen", None), names.pop("rejected", None)
    return Layout(format_, names, _tags(_messages(names, sample), format_, choice))


def _tags(turns: list[Mapping[str, Any]], format_: Format, choice: Choice) -> dict[str, str]:
    """The file's words: those of OpenAI's chats where its first messages use them, else the format's own."""
    tags = dict(TAGS[format_])
    openai = TAGS["openai"]
    keys = {key for turn in turns for key in turn}
    for tag in ("role_tag", "content_tag"):
        if tags[tag] not in keys and openai[tag] in keys:
            tags[tag] = openai[tag]
    words = {turn.get(choice.tags.get("role_tag", tags["role_tag"])) for turn in turns}
    for tag in ("user_tag", "assistant_tag", "observation_tag"):
        if tags[tag] not in words and openai[tag] in words:
            tags[tag] = openai[tag]
    return {**tags, **choice.tags}


def _messages(found: Mapping[str, str], sample: Sample) -> list[Mapping[str, Any]]:
    lists = (row.get(found.get("messages", "")) for row in sample)
    return [turn for turns in lists if type(turns) is list for turn in turns if type(turn) is dict]


def _refuse_foreign(choice: Choice, format_: Format) -> None:
    for column in choice.columns:
        if column not in COLUMNS[format_]:
            allowed = ", ".join(COLUMNS[format_])
            raise UsageError(f"--column {column}: the format {format_} has no such column; allowed: {allowed}")
    if choice.tags and format_ == "alpaca":
        raise UsageError("--tag: the format alpaca has no tags; give --as sharegpt with it, or leave it out")
