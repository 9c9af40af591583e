"""The ways to compute one run that keep its mathematics: the same examples in each step, the same number of steps.

What the author wrote about packing, kernels, checkpointing and workers stays; only the split of the batch into micro-batches and
accumulation is always the platform's, for its product is what the author means.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tools.formats.dataset import Dataset
from tools.plan.steps import packs, training_steps, value
from tools.tuning.liger import MODELS
from tools.tuning.packed import capacities

BATCH, ACCUMULATION = "per_device_train_batch_size", "gradient_accumulation_steps"
RECOMPUTATION = "disable_gradient_checkpointing"
_LARGEST_BATCH = 256
_LIGER = ("enable_liger_kernel", "use_liger_kernel")
_WORKERS = 2  # they tokenise nothing: rows are tokenised once, before; two keep collating off the training process


@dataclass(frozen=True, slots=True)
class Author:
    """What the choice may not touch. train: as written; neat: whether the template's models keep packed rows apart.

    model_type: of config.json.
    """

    train: Mapping[str, Any]
    stage: str
    neat: bool
    model_type: str
    gpus: int
    nodes: int


def candidates(author: Author, datasets: list[Dataset], settings: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Complete settings, the written ones first."""
    yield dict(settings)
    free = {**settings, **_kernels(author), **_workers(author)}
    batch = value(settings, BATCH) * value(settings, ACCUMULATION)
    packings = [*_packings(author, datasets, free)]
    for way in _checkpointing(author, free):
        yield from (_split(way, size, batch) for size in sizes(settings, batch))
        for capacity, sequences in packings:
            packed = {**way, "neat_packing": True, "cutoff_len": capacity}
            yield from (_split(packed, size, sequences) for size in divisors(sequences))


def sizes(settings: Mapping[str, Any], batch: int) -> list[int]:
    """Micro-batches that learn the same.

    The written one alone where the rest of an epoch that fills none is dropped, and for kto, whose loss holds a mean over the
    micro-batch (Ethayarajh et al. 2024, KTO, section 4.1, z0).
    """
    fixed = value(settings, "dataloader_drop_last") or settings.get("stage") == "kto"
    return [value(settings, BATCH)] if fixed else divisors(batch)


def divisors(number: int) -> list[int]:
    """Micro-batches that divide a batch without a rest."""
    return [size for size in range(1, min(number, _LARGEST_BATCH) + 1) if number % size == 0]


def _split(settings: Mapping[str, Any], size: int, batch: int) -> dict[str, Any]:
    return {**settings, BATCH: size, ACCUMULATION: batch // size}


def _kernels(author: Author) -> dict[str, Any]:
    if author.gpus == 0 or author.model_type not in MODELS or any(key in author.train for key in _LIGER):
        return {}
    return {_LIGER[0]: True}


def _workers(author: Author) -> dict[str, Any]:
    written = any(key.startswith("dataloader_") for key in author.train)
    return {} if author.gpus == 0 or written else {"dataloader_num_workers": _WORKERS}


def _checkpointing(author: Author, settings: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield dict(settings)
    if RECOMPUTATION not in author.train:
        yield {**settings, RECOMPUTATION: True}


def _packings(author: Author, datasets: list[Dataset], settings: Mapping[str, Any]) -> Iterator[tuple[int, int]]:
    written = any(key in author.train for key in ("packing", "neat_packing"))
    if author.stage != "sft" or written or not author.neat or packs(settings):
        return
    if author.gpus == 0:  # there the masks that keep rows apart cost more than padding (measured: 5.6 s against 4.1 s)
        return
    if "train_sampling_strategy" in author.train or any(dataset.tokens is None for dataset in datasets):
        return
    devices = {"gpus": author.gpus, "nodes": author.nodes}
    wanted = training_steps(datasets, settings, **devices)
    yield from capacities(datasets, settings, wanted, devices)
