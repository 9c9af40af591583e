"""The whole merge, from two folders into a third. Imports numpy and the standard library, no torch and no transformers."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from runner.exits import Mismatch, Retry
from runner.hashing import names_in, record, sha256_of
from runner.merge import adapter as adapters
from runner.merge import base as bases
from runner.merge import layout, plan, texts
from runner.merge.adapter import Adapter
from runner.merge.base import Base
from runner.merge.headers import BYTES
from runner.merge.layout import Shard
from runner.merge.precision import TILE
from runner.merge.report import MergeReport
from runner.merge.source import Source
from runner.merge.stream import stream
from tools.formats.model import File

_SLACK = 32 * 2**20  # bytes for tokenizer and configuration


def merge(base: Path, adapter: Path, folder: Path, *, settings: Mapping[str, Any], hashing: bool) -> MergeReport:
    """Write the merged model into `folder`, which exists and is empty.

    settings: the training's, for what changes config.json. hashing: fill the report's hashes, for half the merge's time again.

    Raises:
        Mismatch: base and adapter do not fit, one of them is damaged, or nothing changed.
        BadSpec: it cannot be merged exactly; the message names what.
        Retry: too little space.
    """
    model, trained = bases.load(base), adapters.load(adapter)
    planned = plan.make(model, trained)
    shards = layout.shards(model, planned)
    _check_space(folder, shards)
    config = texts.configuration(model.config, planned.config, settings)
    source = Source(trained.file)
    try:
        source.check_finite(trained.tensors)
        _check_copies(model, trained, source)
        report = _stream(model, shards, folder, source, hashing=hashing)
    finally:
        source.close()
    read = texts.write(base, adapter, folder, config)
    _write_index(model, shards, folder)
    if not any(change.changed for change in report.changes.values()):
        raise Mismatch(
            f"{adapter}: the merge changes no weight of {base}; allowed: an adapter that learned something",
            "look at the training's loss and learning rate, and train again",
        )
    if hashing:
        _hash_the_rest(report, model, trained, folder, read)
    return report


def _check_space(folder: Path, shards: list[Shard]) -> None:
    wanted = sum(shard.size for shard in shards) + _SLACK
    state = os.statvfs(folder)
    if state.f_bavail * state.f_frsize < wanted:
        raise Retry(
            f"{folder.parent}: no space left: {state.f_bavail * state.f_frsize:,} bytes free; needed: {wanted:,}",
            "free space, then merge again",
        )


def _check_copies(base: Base, adapter: Adapter, source: Source) -> None:
    """Whole layers that peft saved beside their LoRA pairs must be the base's."""
    tensors = base.tensors
    shard_of = {name: base.folder / shard for shard, header in base.shards.items() for name in header.tensors}
    for name, copy in adapter.copies.items():
        mine = tensors.get(name)
        if mine is None or mine.shape != copy.shape:
            raise adapters.refuse(adapter.file, f"{name} has LoRA and another size than in the base")
        theirs = Source(shard_of[name])
        try:
            count = copy.size // BYTES[copy.dtype]
            for first in range(0, count, TILE):
                size = min(TILE, count - first)
                if not np.array_equal(source.part(copy, first, size), theirs.part(mine, first, size)):
                    raise Mismatch(f"{adapter.file}: {name} is not the base's", "name the base that it was trained on")
        finally:
            theirs.close()


def _stream(base: Base, shards: list[Shard], folder: Path, source: Source, *, hashing: bool) -> MergeReport:
    report = MergeReport()
    for shard in shards:
        header = base.shards[shard.name].raw
        origin = base.folder / shard.name
        found = stream(shard, origin, folder / shard.name, source, header=header, hashing=hashing)
        report.changes |= found.changes
        report.untouched += found.untouched
        if hashing:
            # A shard whose tensors moved was not read from begin to end.
            report.base[shard.name] = found.base if shard.header == header else sha256_of(origin)
            report.result[shard.name] = File(sha256=found.result, size=shard.size)
    return report


def _write_index(base: Base, shards: list[Shard], folder: Path) -> None:
    if base.index is None:
        return
    changed = layout.index(base, shards)
    text = (
        (base.folder / bases.INDEX).read_bytes() if changed is None else json.dumps(changed, indent=2).encode() + b"\n"
    )
    (folder / bases.INDEX).write_bytes(text)


def _hash_the_rest(report: MergeReport, base: Base, adapter: Adapter, folder: Path, read: list[str]) -> None:
    names = read if base.index is None else [bases.INDEX, *read]
    report.base |= {name: sha256_of(base.folder / name) for name in names}
    report.adapter |= {name: sha256_of(adapter.folder / name) for name in (adapters.WEIGHTS, adapters.CONFIG)}
    report.result |= record(folder, set(names_in(folder)) - report.result.keys())
