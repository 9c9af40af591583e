"""The catalogue entry of a model's folder, `catalog/models/<name>.yaml`."""

from __future__ import annotations

import difflib
from pathlib import Path

from tools.errors import UsageError
from tools.expand.yamltext import dump
from tools.formats.model import Model, Source
from tools.llamafactory.table import template_for, templates
from tools.models import architecture, card, folder, weights

_MOVING = frozenset({"main", "master", "latest", "head"})
_SCALE = ((10**9, "billion"), (10**6, "million"))


def source(text: str) -> Source:
    """`REPOSITORY@REVISION`.

    Raises:
        UsageError: it is not that, or the revision can move.
    """
    repository, sign, revision = text.rpartition("@")
    if not sign or not repository or not revision or revision.lower() in _MOVING:
        raise UsageError(
            f"--source {text!r}; allowed: REPOSITORY@REVISION with a commit or a release, never a branch; take the commit "
            "from the repository's page"
        )
    return Source(repository=repository, revision=revision)


def template_of(repository: str, given: str | None) -> str:
    """The chat template: as given, else the one that LLaMA Factory knows for the repository.

    Raises:
        UsageError: neither.
    """
    known = templates()
    found = given or template_for(repository)
    if found is not None and found in known:
        return found
    if found is None:
        raise UsageError(
            f"LLaMA Factory knows no chat template for {repository}; give --template, for instance of the model that it was "
            "made from, or --template empty for a base model without one"
        )
    near = difflib.get_close_matches(found, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "see LLaMA Factory's list of templates"
    raise UsageError(f"--template {found!r}; allowed: one of LLaMA Factory's {len(known)} templates; {hint}")


def licence_of(place: Path, given: str | None) -> str:
    """The licence: as given, else as README.md states it.

    Raises:
        UsageError: neither.
    """
    found = given or card.licence(place)
    if not found:
        raise UsageError(
            f"{place / 'README.md'} states no licence; allowed: an SPDX id; give --licence, for instance apache-2.0"
        )
    return found.lower()


def describe(place: Path, *, path: str, origin: Source, licence: str, template: str, description: str | None) -> Model:
    """Read and hash the folder.

    Raises:
        UsageError: it is no model that can be trained from.
    """
    names = folder.files_of(place)
    tensors = weights.read(place, names)
    numbers = architecture.read(place, tensors)
    about = description or f"{origin.repository}: {numbers.model_type}, {_size(numbers.parameters)} parameters"
    return Model(
        version=1,
        description=about,
        path=path,
        source=origin,
        licence=licence,
        template=template,
        dtype=weights.dtype(tensors),
        architecture=numbers,
        files=folder.hashed(place, names),
    )


def as_yaml(model: Model, name: str) -> str:
    """The entry's file: a header for its readers, then the values."""
    header = (
        f"# Base model {name}: what it is, where it comes from and the hash of every file. Written by `ft model add`;\n"
        f"# platform admins own it. Check it with `ft validate catalog/models/{name}.yaml`. Its files belong into\n"
        f"# models/base-model/{model.path}/ of the storage; tenants may use it once their tenant.yaml lists it.\n"
    )
    return header + dump(model.model_dump(mode="json"))


def _size(parameters: int) -> str:
    for scale, word in _SCALE:
        if parameters >= scale:
            return f"{parameters / scale:.3g} {word}"
    return str(parameters)
