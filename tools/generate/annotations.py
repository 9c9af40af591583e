"""Turns a dataclass annotation of LLaMA Factory into the kinds of YAML value that it takes."""

from __future__ import annotations

import ast
import inspect
import textwrap
import types
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

PLAIN = {bool: "bool", int: "int", float: "float", str: "str", Path: "str", dict: "dict"}


@dataclass(frozen=True)
class Accepted:
    """Kinds of YAML value, in the annotation's order without repeats; choices of a text; whether null is taken."""

    types: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    optional: bool = False

    def __or__(self, other: Accepted) -> Accepted:
        """What either of the two accepts."""
        return Accepted(
            types=tuple(dict.fromkeys(self.types + other.types)),
            choices=tuple(dict.fromkeys(self.choices + other.choices)),
            optional=self.optional or other.optional,
        )


def accepted(annotation: Any) -> Accepted:
    """Kinds of YAML value for an annotation; a class that no YAML value can spell adds nothing."""
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        result = Accepted()
        for member in get_args(annotation):
            result |= accepted(member)
        return result
    if origin is Literal:
        return _literal(get_args(annotation))
    if origin is list:
        (item,) = (accepted(argument) for argument in get_args(annotation))
        return Accepted(types=tuple(f"list[{kind}]" for kind in item.types), choices=item.choices)
    return _single(origin or annotation)


def _literal(values: tuple[Any, ...]) -> Accepted:
    kinds = tuple(dict.fromkeys(PLAIN[type(value)] for value in values))
    return Accepted(types=kinds, choices=tuple(value for value in values if isinstance(value, str)))


def _single(cls: Any) -> Accepted:
    if cls is type(None):
        return Accepted(optional=True)
    if issubclass(cls, Enum):
        return Accepted(types=("str",), choices=tuple(member.value for member in cls))
    return Accepted(types=(PLAIN[cls],) if cls in PLAIN else ())


def split_on_commas(cls: type) -> dict[str, str]:
    """Arguments that the class's `__post_init__` gives to its `split_arg`, which takes a list as it is: name -> kind.

    Their annotation says `str`; the kind is `list[float]` where the split parts go through `map(float, ...)`.
    """
    if not hasattr(cls, "__post_init__"):
        return {}
    found: dict[str, str] = {}
    for call in _calls(cls, "__post_init__"):
        match call:
            case ast.Call(func=ast.Name(id="split_arg"), args=[ast.Attribute(attr=name)]):
                found.setdefault(name, "list[str]")
            case ast.Call(
                func=ast.Name(id="map"), args=[ast.Name(id="float"), ast.Call(args=[ast.Attribute(attr=name)])]
            ):
                found[name] = "list[float]"
    return found


def _calls(cls: type, method: str) -> list[ast.Call]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(getattr(cls, method))))
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def listed_strings(cls: type, method: str) -> list[str]:
    """Every text inside a list literal of a method's source."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(getattr(cls, method))))
    lists = [node for node in ast.walk(tree) if isinstance(node, ast.List)]
    items = [item.value for node in lists for item in node.elts if isinstance(item, ast.Constant)]
    return [item for item in items if isinstance(item, str)]
