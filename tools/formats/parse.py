"""A document read into its format; every fault becomes a finding at its place.

Rules must still run when a file has faults ("every fault in one run"), so a faulty value is replaced by its default, or
by None where there is none, and its field is reported as unusable: rules that need it are left out.
"""

from __future__ import annotations

import difflib
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tools.findings import Finding, printable, quote
from tools.formats.base import PATTERN_IN_WORDS
from tools.yamlsource import Document, Location

T = TypeVar("T", bound=BaseModel)

# Comparing costs; a file with more faults than this is no typo.
MOST_SUGGESTIONS = 100

_PREFIXES = (
    "Input should be ",
    "Value should have ",
    "List should have ",
    "String should have ",
    "Dictionary should have ",
)
_KINDS = {
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
}


@dataclass(frozen=True, slots=True)
class Parsed(Generic[T]):
    """A file as its format.

    value: the format, or None when the file is no mapping at all; faulty parts hold defaults.
    unusable: fields (`resources.gpus`, `model`) whose value must not be judged further.
    """

    document: Document
    value: T | None
    findings: list[Finding]
    unusable: frozenset[str]

    def usable(self, *names: str) -> bool:
        """Whether all the named fields (dotted: `resources.gpus`) hold what the file says."""
        if not self.unusable:
            return self.value is not None
        return self.value is not None and not any(_overlap(name, fault) for name in names for fault in self.unusable)


def parse(cls: type[T], document: Document) -> Parsed[T]:
    """Read `document` as `cls`."""
    findings = list(document.findings)
    if not isinstance(document.data, dict):
        if not findings:
            found = "an empty file" if document.data is None else f"a {_kind(document.data)}"
            allowed = f"a mapping with the keys {', '.join(cls.model_fields)}"
            findings.append(document.finding((), "format", found, allowed, "see the guide for an example"))
        return Parsed(document, None, findings, frozenset(cls.model_fields))
    try:
        return Parsed(document, cls.model_validate(document.data), findings, frozenset())
    except ValidationError as error:
        faults = _distinct(error.errors(include_url=False))
        findings += [_finding(cls, document, fault, suggest=len(faults) <= MOST_SUGGESTIONS) for fault in faults]
        places = [fault["loc"] for fault in faults if fault["type"] != "extra_forbidden"]
        value, unusable = _partial(cls, document.data, places)
        return Parsed(document, value, findings, unusable)


def _overlap(name: str, fault: str) -> bool:
    return name == fault or name.startswith(f"{fault}.") or fault.startswith(f"{name}.")


def _partial(cls: type[T], data: Mapping[str, Any], faults: Sequence[Location]) -> tuple[T, frozenset[str]]:
    """The format with faulty fields at their defaults (or None, which no rule may look at), and the names of those."""
    usable = {name: value for name, value in data.items() if name in cls.model_fields}
    unusable = set()
    for location in faults:
        top = str(location[0])
        inner = _model_in(cls.model_fields[top].annotation)
        leaf = inner.model_fields.get(str(location[1])) if inner and len(location) == 2 else None  # noqa: PLR2004
        if leaf is not None and not leaf.is_required() and isinstance(usable.get(top), dict):
            usable[top] = {key: value for key, value in usable[top].items() if key != location[1]}
            unusable.add(f"{top}.{location[1]}")
        else:
            usable.pop(top, None)
            unusable.add(top)
    missing = {name: None for name, field in cls.model_fields.items() if field.is_required() and name not in usable}
    values = {name: _validated(cls, name, value) for name, value in usable.items()}
    return cls.model_construct(None, **missing, **values), frozenset(unusable)


def _validated(cls: type[BaseModel], name: str, value: Any) -> Any:
    annotation = cls.model_fields[name].annotation
    inner = _model_in(annotation)
    if inner is None or typing.get_origin(annotation) is dict:
        return value
    if isinstance(value, list):
        return [inner.model_validate(_known(inner, item)) for item in value]
    return inner.model_validate(_known(inner, value)) if isinstance(value, dict) else value


def _known(cls: type[BaseModel], value: Any) -> Any:
    """`value` without the keys that `cls` and the formats in it do not have; those are findings already."""
    if not isinstance(value, Mapping):
        return value
    return {
        key: _known_in(cls.model_fields[key].annotation, item) for key, item in value.items() if key in cls.model_fields
    }


def _known_in(annotation: Any, value: Any) -> Any:
    inner = _model_in(annotation)
    if inner is None:
        return value
    if isinstance(value, list):
        return [_known(inner, item) for item in value]
    if typing.get_origin(annotation) is dict and isinstance(value, Mapping):
        return {key: _known(inner, item) for key, item in value.items()}
    return _known(inner, value)


def _distinct(errors: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """One error a place: a union reports one for each of its members."""
    seen: dict[Location, ErrorDetails] = {}
    for error in errors:
        location = tuple(part for part in error["loc"] if part != "[key]")
        seen.setdefault(location, {**error, "loc": location})
    return list(seen.values())


def _finding(cls: type[BaseModel], document: Document, error: ErrorDetails, *, suggest: bool) -> Finding:
    location: Location = error["loc"]
    name = printable(".".join(map(str, location)))
    holder = _model_at(cls, location[:-1])
    if error["type"] == "extra_forbidden":
        return _unknown_key(holder, document, location, suggest=suggest)
    if error["type"] == "missing":
        allowed = _description(holder, str(location[-1]))
        return document.finding(location[:-1], "required-key", f"{name} is missing", allowed, f"add {location[-1]}:")
    found: Any = document.data
    for part in location:
        found = found[part]
    allowed = _allowed(error, holder, location)
    return document.finding(location, "value", f"{name} is {_show(found)}", allowed, "correct the value")


def _unknown_key(holder: type[BaseModel] | None, document: Document, location: Location, *, suggest: bool) -> Finding:
    known = list(holder.model_fields) if holder else []
    key = str(location[-1])
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.7) if suggest else []
    remedy = f'did you mean "{near[0]}"?' if near else "remove it"
    return document.finding(location, "unknown-key", f"unknown key {quote(key)}", ", ".join(known), remedy, key=True)


def _allowed(error: ErrorDetails, holder: type[BaseModel] | None, location: Location) -> str:
    if error["type"] == "model_type" and (inner := _model_at(holder, location[-1:])) is not None:
        return f"a mapping with the keys {', '.join(inner.model_fields)}"
    if error["type"] in _KINDS:
        return _KINDS[error["type"]]
    if error["type"] == "string_pattern_mismatch":
        pattern = error.get("ctx", {}).get("pattern", "")
        return (
            PATTERN_IN_WORDS.get(pattern) or _description(holder, str(location[-1])) or f"text that matches {pattern}"
        )
    message = error["msg"].replace(" after validation", "")
    for prefix in _PREFIXES:
        message = message.removeprefix(prefix)
    return message


def _description(holder: type[BaseModel] | None, name: str) -> str | None:
    field = holder.model_fields.get(name) if holder else None
    return field.description if field else None


def _model_at(cls: type[BaseModel] | None, location: Location) -> type[BaseModel] | None:
    """The format that describes the mapping at `location`."""
    for part in location:
        if cls is None:
            return None
        if isinstance(part, str) and part in cls.model_fields:
            cls = _model_in(cls.model_fields[part].annotation)
    return cls


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for option in typing.get_args(annotation) if (found := _model_in(option))), None)


def _kind(value: Any) -> str:
    kinds = {list: "list", dict: "mapping", str: "text", bool: "boolean", int: "number", float: "number"}
    return kinds.get(type(value), "null")


def _show(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return f"a {_kind(value)}" if value else f"an empty {_kind(value)}"
    return "empty" if value is None else f"{quote(value)} ({_kind(value)})"
