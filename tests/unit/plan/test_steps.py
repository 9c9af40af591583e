"""Counting of optimisation steps; tests/integration/test_training_steps.py compares with the real Trainer."""

from __future__ import annotations

from typing import Any

import pytest

from tools.formats.dataset import Dataset
from tools.plan.lengths import distribution, sample, share_over
from tools.plan.steps import training_steps
from tools.repository import Repository


@pytest.fixture
def measured(repository: Repository) -> Dataset:
    """1,000 rows with token lengths."""
    found = repository.dataset("team-a", "support-pl")
    assert found is not None
    return found


@pytest.fixture
def unmeasured(repository: Repository) -> Dataset:
    """400 rows without."""
    found = repository.dataset("team-a", "notes")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("settings", "gpus", "nodes", "steps", "per_epoch"),
    [
        ({"per_device_train_batch_size": 1, "gradient_accumulation_steps": 8, "num_train_epochs": 3}, 1, 1, 375, 125),
        ({"per_device_train_batch_size": 4, "num_train_epochs": 1}, 2, 2, 63, 63),
        ({"per_device_train_batch_size": 4, "num_train_epochs": 1, "dataloader_drop_last": True}, 2, 2, 62, 62),
        ({"per_device_train_batch_size": 8, "max_steps": 10}, 1, 1, 10, 125),
        ({}, 0, 1, 375, 125),
        ({"val_size": 0.1, "num_train_epochs": 1}, 1, 1, 113, 113),
        ({"val_size": 200, "num_train_epochs": 1}, 1, 1, 100, 100),
        ({"max_samples": 80, "num_train_epochs": 1}, 1, 1, 10, 10),
        ({"gradient_accumulation_steps": 4096, "num_train_epochs": 2}, 1, 1, 2, 1),
    ],
)
def test_steps(measured: Dataset, settings: dict[str, Any], gpus: int, nodes: int, steps: int, per_epoch: int) -> None:
    """Batch, accumulation, devices, epochs, limits, validation rows and samples give the Trainer's counts."""
    counted = training_steps([measured], settings, gpus=gpus, nodes=nodes)
    assert (counted.optimisation_steps, counted.steps_per_epoch) == (steps, per_epoch)


def test_max_samples_is_for_each_dataset(measured: Dataset, unmeasured: Dataset) -> None:
    """max_samples: 500 keeps 500 of 1,000 and all of 400 rows."""
    assert training_steps([measured, unmeasured], {"max_samples": 500}, gpus=1, nodes=1).examples == 900


def test_packing_is_counted_from_lengths(measured: Dataset) -> None:
    """200,000 tokens in sequences of 2,048 need at least 98; pre-training packs without being told."""
    packed = training_steps([measured], {"packing": True, "cutoff_len": 2048}, gpus=1, nodes=1)
    joined = training_steps([measured], {"stage": "pt", "cutoff_len": 2048}, gpus=1, nodes=1)
    assert 98 <= packed.examples <= 105
    assert 96 <= joined.examples <= 98
    assert any("packing" in note for note in packed.notes)


def test_unmeasured_data_is_not_packed_by_guess(unmeasured: Dataset) -> None:
    """Without token lengths rows count one by one, and a note says so."""
    counted = training_steps([unmeasured], {"packing": True}, gpus=1, nodes=1)
    assert counted.examples == 400
    assert any("without token lengths" in note for note in counted.notes)


def test_other_mix_strategies_are_noted(measured: Dataset, unmeasured: Dataset) -> None:
    """Interleaving depends on chance; the count says that it ignores it."""
    counted = training_steps([measured, unmeasured], {"mix_strategy": "interleave_over"}, gpus=1, nodes=1)
    assert any("mix_strategy" in note for note in counted.notes)


def test_cut_rows_follow_from_the_histogram(measured: Dataset) -> None:
    """62 of 1,000 rows lie above 512 tokens; none above the longest; without a histogram the percentiles say it."""
    assert measured.tokens is not None
    assert share_over(measured.tokens, 512) == pytest.approx(0.062)
    assert share_over(measured.tokens, 1800) == 0
    bare = measured.tokens.model_copy(update={"histogram": {}})
    assert share_over(bare, 420) == pytest.approx(0.1)


def test_sample_has_the_mean_of_the_rows(measured: Dataset) -> None:
    """Sampled lengths add up to the manifest's mean and stay below its longest; shares add up to 1."""
    assert measured.tokens is not None
    lengths = sample(measured.tokens, 500)
    assert sum(lengths) / 500 == pytest.approx(200, rel=0.02)
    assert max(lengths) <= 1800
    assert sum(stretch.rows for stretch in distribution(measured.tokens)) == pytest.approx(1)
