"""Held-out rows as LLaMA Factory reads them, and which of them the model was trained on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from runner.exits import Mismatch
from runner.hashing import fault
from runner.storage import Paths
from tools.formats.lock import LockedDataset
from tools.formats.model import File

# Reading training data costs its size again in the container's scratch folder, of 2 GiB; beyond this nobody compares rows.
MOST_TRAINING_BYTES = 300_000_000

Message = dict[str, str]


@dataclass(frozen=True, slots=True)
class Row:
    """One conversation up to the assistant's last answer, and that answer. Texts only: each model has its own tokens for them."""

    prompt: tuple[tuple[str, str], ...]
    expected: str
    system: str
    tools: str

    @property
    def messages(self) -> list[Message]:
        """Prompt and expected answer as LLaMA Factory's templates take them."""
        turns = [{"role": role, "content": content} for role, content in self.prompt]
        return [*turns, {"role": "assistant", "content": self.expected}]

    @property
    def length(self) -> int:
        """Characters, which rows of one batch should have about alike: what is padded is computed for nothing."""
        return len(self.expected) + sum(len(content) for _, content in self.prompt)

    @property
    def key(self) -> str:
        """SHA-256 over everything that the row says, in whatever format its file is."""
        content = [self.prompt, self.expected, self.system, self.tools]
        return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The rows to score. trained_on: how many were left out because they are training rows; None where nobody compared."""

    rows: tuple[Row, ...]
    trained_on: int | None


def held_out(paths: Paths, datasets: Sequence[LockedDataset], most: int, scratch: Path) -> HeldOut:
    """Rows with an answer, none of them a training row, at most `most`, spread evenly over all.

    Raises:
        Mismatch: a file is missing or not the one that the lock names.
    """
    found = [row for dataset in datasets for row in _rows(paths, dataset, scratch)]
    known = _training_keys(paths, scratch)
    fresh = [row for row in found if row.key not in known] if known is not None else found
    step = max(1.0, len(fresh) / most)
    chosen = tuple(fresh[int(index * step)] for index in range(min(most, len(fresh))))
    return HeldOut(chosen, None if known is None else len(found) - len(fresh))


def _training_keys(paths: Paths, scratch: Path) -> set[str] | None:
    datasets = paths.lock.run.datasets
    files = [paths.dataset(dataset) for dataset in datasets]
    if not all(file.is_file() for file in files) or sum(file.stat().st_size for file in files) > MOST_TRAINING_BYTES:
        return None
    return {row.key for dataset in datasets for row in _rows(paths, dataset, scratch)}


def _rows(paths: Paths, dataset: LockedDataset, scratch: Path) -> Iterator[Row]:
    file = paths.dataset(dataset)
    size = file.stat().st_size if file.is_file() else 0
    if wrong := fault(file, File(sha256=dataset.sha256, size=size)):
        raise Mismatch(wrong, "bring back the file that the lock names, then run `publish` again")
    for entry in _read(file, dataset, scratch):
        turns = tuple((message["role"], message["content"]) for message in entry["_prompt"])
        if len(turns) % 2:  # LLaMA Factory drops the others
            for answer in entry["_response"]:
                if answer["content"].strip():
                    yield Row(turns, answer["content"], entry["_system"] or "", entry["_tools"] or "")


def _read(file: Path, dataset: LockedDataset, scratch: Path) -> Iterator[Mapping[str, Any]]:
    """The file's rows in LLaMA Factory's own form, by its own code (llamafactory/data/loader.py, converter.py)."""
    from llamafactory.data.loader import _load_single_dataset
    from llamafactory.data.parser import get_dataset_list
    from llamafactory.hparams import DataArguments, ModelArguments

    entry: dict[str, Any] = {"file_name": str(file.resolve()), "formatting": dataset.format}
    if dataset.ranking:
        entry["ranking"] = True
    entry |= {name: value for name, value in (("columns", dataset.columns), ("tags", dataset.tags)) if value}
    (scratch / "dataset_info.json").write_text(json.dumps({dataset.name: entry}), encoding="utf-8")
    data = DataArguments(dataset_dir=str(scratch), overwrite_cache=True)
    model = ModelArguments(model_name_or_path=str(scratch), cache_dir=str(scratch / "datasets"))
    (attributes,) = get_dataset_list([dataset.name], str(scratch))
    yield from _load_single_dataset(attributes, model, data, SimpleNamespace(local_process_index=0))
