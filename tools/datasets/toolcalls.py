"""Tools and calls of them, which LLaMA Factory parses only while it tokenizes, and dies of when they are wrong.

Source: llamafactory/data/formatter.py (`FunctionFormatter`, `ToolFormatter`) and tool_utils.py (`DefaultToolUtils`, the
strictest of the formats).
"""

from __future__ import annotations

import json
import re
from typing import Any

from tools.datasets.example import place, text
from tools.datasets.faults import RowFault, kind

_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)
_CALL = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)
_A_TOOL = '[{"name": ..., "description": ..., "parameters": {"type": "object", "properties": {...}}}]'
_A_CALL = '{"name": ..., "arguments": {...}}, or a list of such'


def tools_text(value: Any, name: str) -> str:
    """The tools of a row as JSON text; empty when there are none.

    Raises:
        RowFault: it is no text, no JSON or describes no tools.
    """
    if value is None or value == "":
        return ""
    if type(value) is not str:
        raise RowFault(f"{place(name)} is {kind(value)}", "text that holds JSON", "write it as text: json.dumps(tools)")
    described = text(value, name)
    check_tools(_json(described, place(name), _A_TOOL), name)
    return described


def check_tools(tools: Any, name: str) -> None:
    """Raise a RowFault unless `tools` is a list of tool descriptions."""
    if type(tools) is not list:
        raise RowFault(f'"{name}" describes {kind(tools)}', _A_TOOL, "put the tools into a list")
    for tool in tools:
        inner = tool.get("function") if type(tool) is dict and tool.get("type") == "function" else tool
        if type(inner) is not dict or type(inner.get("name")) is not str:
            raise RowFault(f'"{name}" describes a tool without a name', _A_TOOL, "name the tool")
        parameters = inner.get("parameters")
        if type(parameters) is not dict or type(parameters.get("properties")) is not dict:
            found = f'"{name}" describes "{inner["name"]}" without parameters.properties'
            raise RowFault(found, _A_TOOL, 'add "parameters": {"type": "object", "properties": {}}')


def check_call(content: str, name: str) -> None:
    """Raise a RowFault unless the message calls a function: JSON, with thoughts or <tool_call> marks around it."""
    marked = _CALL.search(content)
    written = marked[1] if marked else _THOUGHT.sub("", content, count=1)
    calls = _json(written, name, _A_CALL)
    for call in calls if type(calls) is list else [calls]:
        if type(call) is not dict or type(call.get("name")) is not str or "arguments" not in call:
            raise RowFault(f"{name} calls a function without name or arguments", _A_CALL, "write the call so")


def _json(written: str, name: str, allowed: str) -> Any:
    try:
        return json.loads(written)
    except (ValueError, RecursionError):
        raise RowFault(f"{name} holds text that is no JSON", allowed, "correct it") from None
