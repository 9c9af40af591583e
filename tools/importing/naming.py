"""Finds the model and the data that a LLaMA Factory config names among the tenant's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tools.findings import quote
from tools.importing.draft import Draft, show
from tools.repository import Repository


@dataclass(frozen=True, slots=True)
class Known:
    """What the tenant has: names of models and datasets, and the answers given on the command line."""

    repository: Repository
    models: Sequence[str]
    datasets: Sequence[str]
    model: str | None
    chosen: Sequence[str]


def name_model(source: Mapping[str, Any], known: Known, draft: Draft) -> None:
    """Put the base model into the draft, or what has to be said about it; the template follows from the model."""
    written = source.get("model_name_or_path")
    if known.model is not None:
        draft.fields["model"] = known.model
        draft.notice("model_name_or_path", f"{quote(written)} is model: {known.model} by --model")
    else:
        found = [name for name in known.models if _is_model(name, str(written or ""), known.repository)]
        if len(found) != 1:
            which = "fits none" if not found else f"fits {' and '.join(found)}"
            text = f"{quote(written)} {which} of the tenant's models; write one of {', '.join(known.models)}"
            if not written:
                draft.missing.append(("model_name_or_path", f"{text}, or give --model"))
                return
            draft.fields["model"] = _label(str(written).rstrip("/").replace(".", "-"))
            draft.notice("model_name_or_path", f"{text} instead of {draft.fields['model']}, or import with --model")
            return
        draft.fields["model"] = found[0]
        draft.notice("model_name_or_path", f"{quote(written)} is model: {found[0]} of the catalogue")
    _template(source, known, draft)


def _is_model(name: str, written: str, repository: Repository) -> bool:
    """Same repository, or the last part of a path is the catalogue's name, folder or repository name; case does not count."""
    model = repository.model(name)
    if model is None or not written:
        return False
    repository_name = model.source.repository.lower()
    last = written.rstrip("/").rpartition("/")[2].lower()
    names = {name.lower(), model.path.rpartition("/")[2].lower(), repository_name.rpartition("/")[2]}
    return written.lower() == repository_name or last in names


def _template(source: Mapping[str, Any], known: Known, draft: Draft) -> None:
    model = known.repository.model(draft.fields["model"])
    written = source.get("template")
    if model is None or written is None:
        return
    if written == model.template:
        draft.notice("template", f"{quote(written)} left out: the catalogue sets the same for this model")
    else:
        text = f"{quote(written)} left out: the catalogue sets {model.template} for this model, which trains another format"
        draft.notice("template", text)


def name_datasets(source: Mapping[str, Any], known: Known, draft: Draft) -> None:
    """Put the data into the draft, or which of it the tenant lacks."""
    written = source.get("dataset")
    items = written.split(",") if isinstance(written, str) else written if isinstance(written, list) else []
    names = [str(item).strip() for item in items]
    if known.chosen:
        draft.fields["datasets"] = list(known.chosen)
        draft.notice("dataset", f"{show(written)} is datasets: {', '.join(known.chosen)} by --dataset")
        return
    found = [_label(name) for name in names]
    strange = [name for name, label in zip(names, found, strict=True) if label not in known.datasets]
    have = ", ".join(known.datasets) or "none yet: `ft dataset add` adds one"
    if not found:
        draft.missing.append(("dataset", f"no data: the tenant has {have}; give --dataset"))
        return
    draft.fields["datasets"] = found
    if strange:
        text = f"{', '.join(quote(name) for name in strange)}: not among the tenant's datasets ({have})"
        draft.notice("dataset", f"{text}; `ft dataset add`, or import with --dataset")
    else:
        draft.notice("dataset", f"{show(written)} is datasets: {', '.join(found)}")


def _label(name: str) -> str:
    """The last part of a path as the tenant's files are named, without what follows a dot."""
    return name.rpartition("/")[2].partition(".")[0].lower().replace("_", "-")
