"""Alpaca rows: a prompt, an answer and what may surround them; preference pairs, KTO and plain text too.

Follows llamafactory/data/converter.py, `AlpacaDatasetConverter`. Stricter where that would train on something else than
the row says: a prompt that is null, a history that is no list.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tools.datasets.example import Example, Turn, optional_text, refuse_kto, text
from tools.datasets.faults import RowFault, kind
from tools.datasets.layout import Layout
from tools.datasets.toolcalls import tools_text

_PAIR = 2
# Columns that hold answers; a layout has the first or the other two, or none for plain text.
ANSWERS = ("response", "chosen", "rejected")


def reader(layout: Layout) -> Callable[[dict[str, Any]], Example]:
    """A function that turns one row into an example; it raises RowFault for a row that cannot be trained on."""
    names = layout.columns
    prompt, query, history, system, tools = map(names.get, ("prompt", "query", "history", "system", "tools"))
    answers, plain_text = _answers(layout), layout.plain_text

    def read(row: dict[str, Any]) -> Example:
        question = text(row.get(prompt), prompt) if prompt else ""
        more = optional_text(row.get(query), query) if query else ""
        asked = f"{question}\n{more}" if question and more else question or more
        if plain_text:
            return Example("", "", (Turn("text", asked),), ())
        turns = _history(row.get(history), history) if history else []
        turns.append(Turn("user", asked))
        return Example(
            optional_text(row.get(system), system) if system else "",
            tools_text(row.get(tools), tools) if tools else "",
            tuple(turns),
            answers(row),
        )

    return read


def _answers(layout: Layout) -> Callable[[dict[str, Any]], tuple[Turn, ...]]:
    names = layout.columns
    wanted = [names[column] for column in ANSWERS if column in names]
    kto = names.get("kto_tag")

    def read(row: dict[str, Any]) -> tuple[Turn, ...]:
        if kto:
            refuse_kto(row.get(kto), kto)
        return tuple([Turn("assistant", text(row.get(name), name)) for name in wanted])

    return read


def _history(value: Any, name: str) -> list[Turn]:
    if value is None:
        return []
    if type(value) is not list:
        raise RowFault(f'"{name}" is {kind(value)}', "a list of [question, answer] pairs", "write it so, or null")
    turns = []
    for pair in value:
        if type(pair) is not list or len(pair) != _PAIR:
            found = f"a list of {len(pair)}" if type(pair) is list else kind(pair)
            raise RowFault(f'"{name}" holds {found}', "[question, answer] pairs", "write each exchange as a pair")
        turns += [Turn("user", text(pair[0], name)), Turn("assistant", text(pair[1], name))]
    return turns
