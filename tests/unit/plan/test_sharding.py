"""Which runs get the platform's FSDP preset."""

from __future__ import annotations

from typing import Any

import pytest

from tools import sharding
from tools.formats.experiment import Experiment
from tools.repository import Repository


def chosen(repository: Repository, model: str, gib: float, method: str, stage: str = "sft", **resources: Any) -> bool:
    """Whether a run's settings have the preset."""
    found = repository.model(model)
    assert found is not None
    experiment = Experiment.model_validate(
        {
            "version": 1,
            "description": "A run of the tests",
            "owner": "anna.nowak",
            "model": model,
            "datasets": ["topics"],
            "method": method,
            "stage": stage,
            "resources": resources,
        }
    )
    settings = sharding.settings(experiment, found.architecture, gib)
    assert settings in ({}, sharding.PRESET)
    return bool(settings)


def test_full_training_on_several_gpus_is_shared_out(repository: Repository) -> None:
    """Of one node or of several; one GPU and CPUs have nobody to share with."""
    assert chosen(repository, "seven-b", 80, "full", gpus=2)
    assert chosen(repository, "seven-b", 80, "full", gpus=1, nodes=2)
    assert not chosen(repository, "seven-b", 80, "full", gpus=1)
    assert not chosen(repository, "seven-b", 80, "full", gpus=0, nodes=2)


@pytest.mark.parametrize(("gib", "shared"), [(24.0, True), (80.0, False)])
def test_lora_is_shared_out_where_the_base_takes_half_a_gpu(repository: Repository, gib: float, shared: bool) -> None:
    """14 GB of frozen weights: much of a GPU of 24 GiB, little of one of 80."""
    assert chosen(repository, "seven-b", gib, "lora", gpus=4) == shared


def test_neither_quantised_bases_nor_reward_models_are_shared_out(repository: Repository) -> None:
    """What LLaMA Factory cannot shard, or not so that its merge reads it again."""
    assert not chosen(repository, "seven-b", 16, "qlora", gpus=8)
    assert not chosen(repository, "seven-b", 16, "full", stage="rm", gpus=8)
