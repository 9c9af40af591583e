"""How many optimisation steps a run takes, counted as the pinned transformers' Trainer counts them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from tools.formats.dataset import Dataset
from tools.llamafactory.table import arguments
from tools.plan.packing import packed_examples


@dataclass(frozen=True, slots=True)
class Steps:
    """The counts of a run.

    examples: rows (packed examples, with packing) that one epoch trains on, validation rows taken off.
    examples_per_step: batch per device x accumulation x processes; the last step of an epoch may hold fewer.
    epochs: passes over the data, not always whole.
    notes: where the count is an estimate, and why.
    """

    optimisation_steps: int
    steps_per_epoch: int
    examples_per_step: int
    epochs: float
    examples: int
    notes: tuple[str, ...] = ()


def training_steps(datasets: Sequence[Dataset], settings: Mapping[str, Any], *, gpus: int, nodes: int) -> Steps:
    """Steps of a run over `datasets` with LLaMA Factory's arguments `settings`; one process for each GPU (or one CPU) of a node.

    Source: transformers/trainer.py, `set_initial_training_values`; the dataloader's length is that of accelerate's
    `BatchSamplerShard`: ceil(examples / (batch per device x processes)), rounded down with `dataloader_drop_last`.
    """
    notes: list[str] = []
    per_device = value(settings, "per_device_train_batch_size")
    accumulation = value(settings, "gradient_accumulation_steps")
    processes = max(1, gpus) * nodes
    examples = _examples(datasets, settings, notes)
    batches = examples / (per_device * processes)
    loader = int(batches) if value(settings, "dataloader_drop_last") else ceil(batches)
    per_epoch = max(ceil(loader / accumulation), 1)
    limit, epochs = value(settings, "max_steps"), float(value(settings, "num_train_epochs"))
    limited = limit > 0
    return Steps(
        optimisation_steps=limit if limited else ceil(epochs * per_epoch),
        steps_per_epoch=per_epoch,
        examples_per_step=per_device * accumulation * processes,
        epochs=limit / per_epoch if limited else epochs,
        examples=examples,
        notes=tuple(notes),
    )


def value(settings: Mapping[str, Any], key: str) -> Any:
    """What LLaMA Factory uses for an argument: the setting, or its default."""
    return settings[key] if key in settings else arguments()[key].default


def packs(settings: Mapping[str, Any]) -> bool:
    """Whether rows are packed into examples of `cutoff_len` tokens (llamafactory/hparams/parser.py: pre-training does unless told not to)."""
    if value(settings, "neat_packing"):
        return True
    chosen = value(settings, "packing")
    return bool(settings.get("stage") == "pt" if chosen is None else chosen)


def validation_rows(rows: int, size: float) -> int:
    """Rows that `val_size` takes off: a count over 1, else a share rounded up (llamafactory/data/data_utils.py, `split_dataset`)."""
    if size <= 1e-6:  # noqa: PLR2004 - LLaMA Factory's own threshold
        return 0
    return min(rows, int(size) if size > 1 else ceil(size * rows))


def _examples(datasets: Sequence[Dataset], settings: Mapping[str, Any], notes: list[str]) -> int:
    limit = value(settings, "max_samples")
    rows = [dataset.rows if limit is None else min(dataset.rows, limit) for dataset in datasets]
    if len(rows) > 1 and value(settings, "mix_strategy") != "concat":
        notes.append("mix_strategy is not concat: rows are counted as if each were used once an epoch")
    total = sum(rows)
    kept = total - validation_rows(total, float(value(settings, "val_size")))
    return _packed(datasets, rows, kept / max(1, total), settings, notes) if packs(settings) else kept


def _packed(
    datasets: Sequence[Dataset], rows: Sequence[int], share: float, settings: Mapping[str, Any], notes: list[str]
) -> int:
    notes.append("packing: examples are estimated from the datasets' token lengths")
    workers = value(settings, "preprocessing_num_workers") or 1
    total = 0
    for dataset, count in zip(datasets, rows, strict=True):
        kept = round(count * share)
        if dataset.tokens is None:
            notes.append("a dataset without token lengths is counted unpacked; `ft dataset add` measures them")
            total += kept
        elif kept:
            total += packed_examples(
                kept,
                dataset.tokens,
                cutoff=value(settings, "cutoff_len"),
                batch=min(value(settings, "preprocessing_batch_size"), ceil(kept / workers)),
                stage=settings.get("stage", "sft"),
            )
    return total
