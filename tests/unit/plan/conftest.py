"""What the tests of the formulas share: architectures of usual shape and the workload of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tools.formats.model import Model
from tools.plan.workload import Workload
from tools.repository import Repository

Work = Callable[..., Workload]
REPOSITORY = Path(__file__).parents[2] / "fixtures" / "plan-repository"


@pytest.fixture
def repository() -> Repository:
    """The repository of fixtures/plan-repository, read only."""
    return Repository(REPOSITORY)


@pytest.fixture
def work(repository: Repository) -> Work:
    """Builds the workload of a LoRA run (rank 8, bf16, one GPU) with changes."""

    def build(model: str = "seven-b", *, tokens: int = 480, batch: int = 1, **changes: Any) -> Workload:
        found: Model | None = repository.model(model)
        assert found is not None
        run: dict[str, Any] = {"method": "lora", "stage": "sft", "gpus": 1, "nodes": 1}
        run |= {key: changes.pop(key) for key in tuple(run) if key in changes}
        settings = {"bf16": True, "lora_rank": 8, "cutoff_len": 2048, "per_device_train_batch_size": batch, **changes}
        return Workload(
            architecture=found.architecture,
            settings=settings,
            longest=tokens,
            typical=tokens,
            expected=tokens,
            measured=True,
            **run,
        )

    return build
