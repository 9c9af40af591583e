"""OpenAI style rows: messages with tool_calls, several tool results in a row, tools as JSON.

Follows llamafactory/data/converter.py, `OpenAIDatasetConverter`, its odd system text included: without tools it adds
"detailed thinking off" to every row. `detect` therefore chooses it only for rows with tools. Tool results at the very
end, which it drops, are a fault here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tools.datasets.example import Example, Role, Turn, optional_text, place, text
from tools.datasets.faults import RowFault, kind
from tools.datasets.layout import Layout
from tools.datasets.sharegpt import Message, finish, messages_of, roles, split_system, unknown_role
from tools.datasets.toolcalls import check_call, check_tools, tools_text

ADDED_SYSTEM = "detailed thinking off"
_BETWEEN_RESULTS = "\n</tool_response>\n<tool_response>\n"
_A_CALL = '[{"type": "function", "function": {"name": ..., "arguments": "..."}}]'


def reader(layout: Layout) -> Callable[[dict[str, Any]], Example]:
    """A function that turns one row into an example; it raises RowFault for a row that cannot be trained on."""
    names, tags, known = layout.columns, layout.tags, roles(layout.tags)
    system, tools = names.get("system"), names.get("tools")

    def read(row: dict[str, Any]) -> Example:
        first, messages = split_system(messages_of(row, names["messages"], tags), tags)
        spoken = first if first is not None else optional_text(row.get(system), system) if system else ""
        described = _tools(row.get(tools), tools) if tools else ""
        turns = list(_turns(messages, names["messages"], tags, known))
        return finish(row, layout, _system(spoken, described), described, turns)

    return read


def _turns(messages: list[Message], name: str, tags: Mapping[str, str], known: Mapping[str, Role]) -> Iterator[Turn]:
    """The turns; tool results that follow each other are one."""
    results: list[str] = []
    for number, message in enumerate(messages, start=1):
        turn = _turn(message, name, number, tags, known)
        if turn.role == "observation":
            results.append(turn.content)
            continue
        if results:
            yield Turn("observation", _BETWEEN_RESULTS.join(results))
            results = []
        yield turn
    if results:
        raise RowFault("the last message is a tool's result", "an assistant message after it", "add the answer")


def _turn(message: Message, name: str, number: int, tags: Mapping[str, str], known: Mapping[str, Role]) -> Turn:
    word = message[tags["role_tag"]]
    role = known.get(word)
    if role is None:
        raise unknown_role(word, number, tags, known)
    calls = message.get("tool_calls")
    if calls and role in {"assistant", "function"}:
        return Turn("function", _calls(calls, number))
    content = text(message.get(tags["content_tag"]), name, number)
    if role == "function":
        check_call(content, place(name, number))
    return Turn(role, content)


def _calls(calls: Any, number: int) -> str:
    functions = (
        [call.get("function") if type(call) is dict else None for call in calls] if type(calls) is list else [None]
    )
    for function in functions:
        if type(function) is not dict or type(function.get("name")) is not str or "arguments" not in function:
            raise RowFault(f"message {number}: tool_calls is malformed", _A_CALL, "write the calls so")
    return json.dumps(functions, ensure_ascii=False)


def _tools(value: Any, name: str) -> str:
    if type(value) is list:
        check_tools(value, name)
        return json.dumps(value, ensure_ascii=False)
    if type(value) is dict:
        raise RowFault(f'"{name}" is {kind(value)}', "a list of tools, or text that holds one", "put it into a list")
    return tools_text(value, name)


def _system(spoken: str, tools: str) -> str:
    """The system text as the converter leaves it (its lines about `short_system_prompt`)."""
    if tools:
        return f"{spoken}\n" if spoken else ""
    if not spoken:
        return ADDED_SYSTEM
    settled = "detailed thinking on" in spoken or ADDED_SYSTEM in spoken
    return spoken if settled else f"{spoken}\n{ADDED_SYSTEM}"
