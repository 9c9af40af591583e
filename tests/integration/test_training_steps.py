"""The counts of `ft plan` against transformers' own Trainer and LLaMA Factory's own packing."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import pytest

from tools.formats.dataset import Dataset, TokenLengths
from tools.plan.packing import packed_examples
from tools.plan.steps import training_steps

transformers = pytest.importorskip("transformers", reason="needs the runner's environment")
pytestmark = pytest.mark.heavy


def _manifest(rows: int, lengths: list[int] | None = None) -> Dataset:
    return Dataset(
        version=1,
        description="Rows",
        path="rows.json",
        format="alpaca",
        sha256="0" * 64,
        size=1,
        rows=rows,
        tokens=_tokens(lengths) if lengths else None,
    )


def _tokens(lengths: list[int]) -> TokenLengths:
    ordered = sorted(lengths)
    histogram: dict[str, int] = {}
    for length in ordered:
        bound = str(1 << (length - 1).bit_length())
        histogram[bound] = histogram.get(bound, 0) + 1
    p50, p90, p99 = (ordered[len(ordered) * part // 100] for part in (50, 90, 99))
    return TokenLengths(
        model="m",
        total=sum(ordered),
        mean=sum(ordered) / len(ordered),
        p50=p50,
        p90=p90,
        p99=p99,
        max=ordered[-1],
        histogram=histogram,
    )


def _trainer_counts(folder: Path, rows: int, settings: dict[str, Any], processes: int) -> tuple[int, int]:
    """What the real Trainer makes of `rows` examples: (steps of the run, steps of an epoch)."""
    import torch
    from accelerate.data_loader import prepare_data_loader

    arguments = transformers.TrainingArguments(output_dir=str(folder), use_cpu=True, report_to=[], **settings)
    trainer = transformers.Trainer(
        model=torch.nn.Linear(1, 1), args=arguments, train_dataset=[{"labels": index} for index in range(rows)]
    )
    loader = prepare_data_loader(
        trainer.get_train_dataloader(), num_processes=processes, process_index=0, put_on_device=False
    )
    _, per_epoch, _, _, _, _, steps = trainer.set_initial_training_values(arguments, loader)
    return steps, per_epoch


@pytest.mark.parametrize("processes", [1, 2, 8])
def test_steps_are_those_of_the_trainer(tmp_path: Path, processes: int) -> None:
    """Rows, batch, accumulation, epochs and a step limit give the steps that the real Trainer plans, for 1 to 8 processes."""
    for rows, batch, accumulation, epochs in itertools.product((1, 7, 400, 1001), (1, 3, 8), (1, 8), (0.5, 1, 3.0)):
        settings = {
            "per_device_train_batch_size": batch,
            "gradient_accumulation_steps": accumulation,
            "num_train_epochs": epochs,
        }
        planned = training_steps([_manifest(rows)], settings, gpus=processes, nodes=1)
        counted = _trainer_counts(tmp_path, rows, settings, processes)
        assert (planned.optimisation_steps, planned.steps_per_epoch) == counted, (rows, settings)


@pytest.mark.parametrize("extra", [{"max_steps": 17}, {"dataloader_drop_last": True}])
def test_limits_are_those_of_the_trainer(tmp_path: Path, extra: dict[str, Any]) -> None:
    """A step limit and a dropped last batch count as in the real Trainer."""
    settings = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "num_train_epochs": 2, **extra}
    planned = training_steps([_manifest(101)], settings, gpus=2, nodes=1)
    assert (planned.optimisation_steps, planned.steps_per_epoch) == _trainer_counts(tmp_path, 101, settings, 2)


@pytest.mark.parametrize("size", [0.1, 0.333, 2, 50])
def test_validation_rows_are_those_of_the_trainer(size: float) -> None:
    """`val_size` as a share or a count leaves the rows that LLaMA Factory's own split leaves."""
    datasets = pytest.importorskip("datasets")
    from llamafactory.data.data_utils import split_dataset
    from llamafactory.hparams import DataArguments

    rows = datasets.Dataset.from_dict({"x": list(range(1007))})
    arguments = DataArguments(dataset="rows", val_size=size)
    train, _ = split_dataset(rows, None, arguments, seed=1)
    assert training_steps([_manifest(1007)], {"val_size": size}, gpus=1, nodes=1).examples == len(train["train"])


@pytest.mark.parametrize(("median", "spread"), [(60, 0.3), (200, 0.8), (900, 1.0)])
def test_packed_examples_are_near_llama_factorys(median: int, spread: float) -> None:
    """From a manifest's histogram alone, packed examples come within 6 % of what LLaMA Factory's knapsack makes of the rows."""
    from llamafactory.data.processor.processor_utils import greedy_knapsack

    generator = random.Random(median)
    lengths = [max(1, min(4000, int(generator.lognormvariate(0, spread) * median))) for _ in range(5000)]
    cut = [min(length, 2048) for length in lengths]
    real = sum(len(greedy_knapsack(cut[start : start + 1000], 2048)) for start in range(0, 5000, 1000))
    planned = packed_examples(5000, _tokens(lengths), cutoff=2048, batch=1000, stage="sft")
    assert planned == pytest.approx(real, rel=0.06)
