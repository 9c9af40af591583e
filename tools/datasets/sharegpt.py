"""ShareGPT rows: a list of messages; preference pairs, KTO and tool use too.

Follows llamafactory/data/converter.py, `SharegptDatasetConverter`: a system message may come first; then user (or
observation) and assistant (or function call) take turns. What it skips with a warning is a fault here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tools.datasets.example import Example, Role, Turn, optional_text, place, refuse_kto, text
from tools.datasets.faults import RowFault, kind
from tools.datasets.layout import Layout
from tools.datasets.toolcalls import check_call, tools_text
from tools.findings import quote

_ANSWERING = ("assistant", "function")
Message = Mapping[str, Any]


def roles(tags: Mapping[str, str]) -> dict[str, Role]:
    """The file's words for the roles."""
    named: list[tuple[str, Role]] = [
        ("user_tag", "user"),
        ("assistant_tag", "assistant"),
        ("observation_tag", "observation"),
        ("function_tag", "function"),
    ]
    return {tags[tag]: role for tag, role in named}


def reader(layout: Layout) -> Callable[[dict[str, Any]], Example]:
    """A function that turns one row into an example; it raises RowFault for a row that cannot be trained on."""
    names, tags, known = layout.columns, layout.tags, roles(layout.tags)
    name, system, tools = names["messages"], names.get("system"), names.get("tools")

    def read(row: dict[str, Any]) -> Example:
        first, messages = split_system(messages_of(row, name, tags), tags)
        spoken = first if first is not None else optional_text(row.get(system), system) if system else ""
        turns = [_turn(message, name, number, tags, known) for number, message in enumerate(messages, start=1)]
        described = tools_text(row.get(tools), tools) if tools else ""
        return finish(row, layout, spoken, described, turns)

    return read


def messages_of(row: Mapping[str, Any], name: str, tags: Mapping[str, str]) -> list[Message]:
    """The messages of a row, each an object with a role.

    Raises:
        RowFault: they are not.
    """
    messages = row.get(name)
    shape = f'a list of {{"{tags["role_tag"]}": ..., "{tags["content_tag"]}": ...}}'
    if type(messages) is not list or not messages:
        found = "an empty list" if messages == [] else "missing or null" if messages is None else kind(messages)
        raise RowFault(f'"{name}" is {found}', shape, "write the messages, or delete the row")
    for number, message in enumerate(messages, start=1):
        if type(message) is not dict or type(message.get(tags["role_tag"])) is not str:
            found = f'has no text at "{tags["role_tag"]}"' if type(message) is dict else f"is {kind(message)}"
            raise RowFault(
                f"message {number} {found}", shape, "correct the message, or name the key with --tag role_tag=KEY"
            )
    return messages


def split_system(messages: list[Message], tags: Mapping[str, str]) -> tuple[str | None, list[Message]]:
    """The system message that comes first, or None, and the messages after it."""
    if messages[0][tags["role_tag"]] != tags["system_tag"]:
        return None, messages
    return optional_text(messages[0].get(tags["content_tag"]), "system message"), messages[1:]


def finish(row: Mapping[str, Any], layout: Layout, system: str, tools: str, turns: list[Turn]) -> Example:
    """The example of a row whose messages have been read.

    Raises:
        RowFault: they do not take turns, or there is no answer.
    """
    check_order(turns, layout.ranking)
    kto = layout.columns.get("kto_tag")
    if kto:
        refuse_kto(row.get(kto), kto)
    if layout.ranking:
        names = (layout.columns["chosen"], layout.columns["rejected"])
        return Example(system, tools, tuple(turns), tuple([_answer(row, name, layout) for name in names]))
    return Example(system, tools, tuple(turns[:-1]), (turns[-1],))


def check_order(turns: Sequence[Turn], ranking: bool) -> None:
    """Raise a RowFault unless the turns alternate, end where an answer is (or, in pairs, is due)."""
    for number, turn in enumerate(turns, start=1):
        if (turn.role in _ANSWERING) is (number % 2 == 1):
            due = "an assistant message or a function call" if number % 2 == 0 else "a user message or an observation"
            found = f"turn {number} (system message not counted) is of the role {turn.role}"
            raise RowFault(found, due, "let the two sides take turns, a user first; merge or delete messages")
    if ranking is (len(turns) % 2 == 0):
        due = (
            "an odd number: the answers stand in chosen and rejected"
            if ranking
            else "an even number: the answer is last"
        )
        raise RowFault(f"{len(turns)} turns (system message not counted)", due, "add or delete the last message")


def _turn(message: Message, name: str, number: int, tags: Mapping[str, str], known: Mapping[str, Role]) -> Turn:
    word = message[tags["role_tag"]]
    role = known.get(word)
    if role is None:
        raise unknown_role(word, number, tags, known)
    if message.get("tool_calls") and message.get(tags["content_tag"]) is None:
        raise RowFault(f"message {number} has tool_calls and no content", "content", "check it with --as openai")
    content = text(message.get(tags["content_tag"]), name, number)
    if role == "function":
        check_call(content, place(name, number))
    return Turn(role, content)


def unknown_role(word: str, number: int, tags: Mapping[str, str], known: Mapping[str, Role]) -> RowFault:
    """The fault of a message whose role has no meaning in its place."""
    allowed = ", ".join(map(quote, known))
    if word == tags["system_tag"]:
        return RowFault(f"message {number} is a system message", "one system message, before all others", "move it")
    return RowFault(f"message {number} has the role {quote(word)}", allowed, "correct it, or name the role with --tag")


def _answer(row: Mapping[str, Any], name: str, layout: Layout) -> Turn:
    tags, known = layout.tags, roles(layout.tags)
    answer = row.get(name)
    shape = f'one message {{"{tags["role_tag"]}": "{tags["assistant_tag"]}", "{tags["content_tag"]}": ...}}'
    if type(answer) is not dict:
        found = "missing or null" if answer is None else kind(answer)
        raise RowFault(f'"{name}" is {found}', shape, "write the answer so")
    role = known.get(str(answer.get(tags["role_tag"])))
    if role not in _ANSWERING:
        raise RowFault(f'"{name}" is not of the assistant', shape, "write the answer so")
    content = text(answer.get(tags["content_tag"]), name)
    if role == "function":
        check_call(content, place(name))
    return Turn(role, content)
