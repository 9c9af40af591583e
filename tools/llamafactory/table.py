"""Reads the tables generated from the pinned LLaMA Factory, each once and only when asked for.

Records are named tuples: every `ft validate` makes 346 of them, and their class costs 0.3 ms where a frozen dataclass
costs 1.8 ms.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from tools.llamafactory.renamed import Renamed


class Argument(NamedTuple):
    """One key of a LLaMA Factory train config.

    `group` is the dataclass that defines it (`LoraArguments`, `RayArguments`, `TrainingArguments`, ...). `types` holds
    any of bool, int, float, str, dict, list[str] and list[float]; empty when no YAML value but null will do. `choices`
    are the texts allowed; where a list is allowed too they are its items, or the text's words. `default`
    is what the dataclass declares: some are replaced later (`lora_alpha` null becomes twice `lora_rank`).
    """

    name: str
    group: str
    types: tuple[str, ...]
    optional: bool
    choices: tuple[str, ...]
    deprecated: bool
    default: Any
    help: str


SPECIAL_LOSSES = ("use_dft_loss", "use_eaft_loss", "use_asft_loss")  # computed by LLaMA Factory, from all logits

Slot = str | Mapping[str, str]


class ChatTemplate(NamedTuple):
    """A chat template, as far as it takes to count a conversation's tokens.

    `slots` has the keys prefix, system, user, assistant, observation and function. A slot is a list of a text to
    tokenize (its `{{content}}` is the message), {"token": text} for one token of the vocabulary, or {"special": name}
    with bos_token or eos_token, nothing where the tokenizer lacks it. Each part is tokenized on its own.

    A conversation is prefix, system (when there is one, or a `default_system`), then the messages in turn; with
    `system_in_first_message` the system text is put before the first message's content instead. An answer without
    thoughts is preceded by `empty_thought` (empty but for reasoning templates). With `efficient_eos` one end token
    follows the whole conversation. `neat_packing` is False where LLaMA Factory refuses it with flash attention.
    `mm_plugin` is base for text only. Source: llamafactory/data/template.py, `_encode` and `encode_multiturn`.
    """

    name: str
    default_system: str
    efficient_eos: bool
    replace_eos: bool
    stop_words: tuple[str, ...]
    thought_words: tuple[str, str]
    empty_thought: str
    system_in_first_message: bool
    neat_packing: bool
    mm_plugin: str
    slots: Mapping[str, tuple[Slot, ...]]


def _load(name: str) -> dict[str, Any]:
    entries: dict[str, Any] = json.loads(Path(__file__).with_name(f"{name}.json").read_bytes())[name]
    return entries


@cache
def arguments() -> Mapping[str, Argument]:
    """Every key that LLaMA Factory's train parser knows, by name, in alphabetical order."""
    return {
        name: Argument(
            name=name,
            group=entry["group"],
            types=tuple(entry["types"]),
            optional=entry.get("optional", False),
            choices=tuple(entry.get("choices", ())),
            deprecated=entry.get("deprecated", False),
            default=entry["default"],
            help=entry["help"],
        )
        for name, entry in _load("arguments").items()
    }


@cache
def templates() -> Mapping[str, ChatTemplate]:
    """Every chat template that LLaMA Factory registers, by name, in alphabetical order."""
    return {name: _template(name, entry) for name, entry in _load("templates").items()}


def _template(name: str, entry: dict[str, Any]) -> ChatTemplate:
    opening, closing = entry.pop("thought_words")
    stop_words = tuple(entry.pop("stop_words"))
    slots = {key: tuple(parts) for key, parts in entry.pop("slots").items()}
    return ChatTemplate(name=name, stop_words=stop_words, thought_words=(opening, closing), slots=slots, **entry)


@cache
def _models() -> Mapping[str, str]:
    return _load("models")


def template_for(repository: str) -> str | None:
    """The template that LLaMA Factory gives to a model repository (`organisation/name`, in any case).

    None for a repository that it does not know and for base models, which have no chat format of their own.
    """
    return _models().get(repository.lower())


def renamed() -> Mapping[str, Renamed]:
    """Keys of older configs that are unknown now, each with what to write instead."""
    from tools.llamafactory.renamed import RENAMED

    return RENAMED


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return _is_int(value) or (isinstance(value, float) and math.isfinite(value))


_KINDS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "bool": (lambda value: isinstance(value, bool), "true or false"),
    "int": (_is_int, "a whole number, for instance 8"),
    "float": (_is_number, "a number, for instance 1.0e-4"),
    "str": (lambda value: isinstance(value, str), "a text"),
    "dict": (lambda value: isinstance(value, dict), "a mapping of keys to values"),
    "list[str]": (lambda value: isinstance(value, list) and all(isinstance(x, str) for x in value), "a list of texts"),
    "list[float]": (lambda value: isinstance(value, list) and all(map(_is_number, value)), "a list of numbers"),
}


def check_value(argument: Argument, value: Any) -> str | None:
    """None when LLaMA Factory takes the value, else what it takes, in words.

    Stricter than its parser, which looks at no type: `learning_rate: "1e-4"` would train, or fail, much later. A bool is
    no number, an int is a float, a text is never a number, and infinities and not-a-number are no numbers.
    """
    if value is None:
        return None if argument.optional else _allowed(argument)
    fits = any(_KINDS[kind][0](value) for kind in argument.types)
    return None if fits and _chosen(argument, value) else _allowed(argument)


def _chosen(argument: Argument, value: Any) -> bool:
    if not argument.choices or not isinstance(value, str | list):
        return True
    if isinstance(value, str):
        value = value.split() if "list[str]" in argument.types else [value]
    return all(word in argument.choices for word in value)


def _allowed(argument: Argument) -> str:
    spelled = ("str", "list[str]") if argument.choices else ()
    words = [_KINDS[kind][1] for kind in argument.types if kind not in spelled]
    if argument.choices:
        several = "a list (or one text, separated by blanks) of" if "list[str]" in argument.types else "one of"
        words.append(f"{several}: {', '.join(argument.choices)}")
    if argument.optional:
        words.append("null")
    return ", or ".join(words)
