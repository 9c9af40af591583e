"""Hours, storage, quota, fit and difference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tools.formats.experiment import Passes
from tools.formats.gpus import GpuType
from tools.formats.lock import LockedEvaluation, LockedModel, LockedRun
from tools.formats.model import Model
from tools.plan.difference import nearest
from tools.plan.disk import disk
from tools.plan.fit import changes, verdict
from tools.plan.hours import duration, flops_per_token
from tools.plan.scoring import scoring
from tools.plan.steps import Steps
from tools.plan.workload import Workload
from tools.repository import Repository
from tools.resolve import resolve

Work = Callable[..., Workload]
H100 = GpuType(memory_gib=79.1, bandwidth_gb_s=3350, bf16_tflops=989, price_per_hour=18.0)
LIGER: dict[str, Any] = {"enable_liger_kernel": True}
STEPS = Steps(optimisation_steps=100, steps_per_epoch=100, examples_per_step=1, epochs=1.0, examples=100)


@pytest.mark.parametrize(
    ("model", "batch", "mean", "padded", "settings", "measured"),
    [
        ("seven-b", 1, 130, 130, {}, 412),
        ("seven-b", 4, 2048, 2048, {}, 6468),
        ("seven-b", 8, 2048, 2048, LIGER, 7715),
        ("seven-b", 4, 2048, 2048, {**LIGER, "disable_gradient_checkpointing": True}, 10436),
        ("one-b", 1, 130, 130, {}, 600),
        ("one-b", 8, 2048, 2048, {**LIGER, "disable_gradient_checkpointing": True}, 42996),
    ],
)
def test_time_range_holds_what_an_h100_showed(
    work: Work, model: str, batch: int, mean: int, padded: int, settings: dict[str, Any], measured: float
) -> None:
    """The measured tokens per second lie between the two ends of the estimate, from batch 1 to packed without checkpointing."""
    run = replace(work(model, batch=batch, tokens=2048, **settings), typical=mean, expected=padded)
    time = duration(run, replace(STEPS, examples_per_step=batch, examples=100 * batch), H100)
    hours = mean * batch * 100 / measured / 3600
    assert time.low is not None
    assert time.high is not None
    assert time.low < hours < time.high


def test_a_frozen_base_saves_a_third_of_the_work(work: Work) -> None:
    """4 operations a weight and token with a frozen base, 6 when all weights are trained, attention on top of both."""
    count = work().architecture.parameters
    attention = 12 * 32 * 4096 * 480
    assert flops_per_token(work()) == 4 * count + attention
    assert flops_per_token(work(method="full")) == 6 * count + attention


def test_no_time_is_promised_on_a_cpu(work: Work) -> None:
    """The catalogue knows no CPU's speed, so there is no estimate."""
    assert duration(work(gpus=0), STEPS, None).low is None


def _locked(repository: Repository) -> LockedModel:
    model: Model | None = repository.model("seven-b")
    assert model is not None
    fields = ("path", "template", "dtype", "source", "licence", "files")
    return LockedModel(name="seven-b", **{name: getattr(model, name) for name in fields})


def test_storage_counts_one_checkpoint_more_than_the_limit(work: Work, repository: Repository) -> None:
    """With save_total_limit 2 three checkpoints stand for a moment; each holds the adapter and two states; merging adds the base's size."""
    need = disk(work(save_steps=10, save_total_limit=2), STEPS, _locked(repository), merge=True)
    assert (need.checkpoint, need.checkpoints) == (3 * 4 * 20_971_520, 3)
    assert need.merged == sum(file.size for file in _locked(repository).files.values())
    assert need.peak == 3 * need.checkpoint + need.result + need.merged


@pytest.mark.parametrize(
    ("settings", "checkpoints"),
    [
        ({"save_strategy": "no"}, 0),
        ({"save_strategy": "epoch"}, 1),
        ({"save_steps": 0.25}, 4),
        ({"save_steps": 500}, 1),
        ({"save_steps": 10, "save_total_limit": 1}, 2),
    ],
)
def test_checkpoints_follow_the_saving_strategy(
    work: Work, repository: Repository, settings: dict[str, Any], checkpoints: int
) -> None:
    """None, one an epoch, a share of the run, a number of steps, pruned to the limit."""
    assert disk(work(**settings), STEPS, _locked(repository), merge=False).checkpoints == checkpoints


def test_verdict_has_a_margin() -> None:
    """Over the limit does not fit; within 15 % of it is tight, for the formulas are no better than that."""
    assert [verdict(needed, 100) for needed in (101, 90, 80)] == ["does not fit", "tight", "fits"]


def test_changes_need_less_and_begin_with_the_mildest(work: Work) -> None:
    """A full run on one GPU is told to use the fused kernels first and to freeze the base last; no change needs more."""
    found = changes(work(method="full", batch=4, tokens=2048))
    assert found[0].what == "enable_liger_kernel: true"
    assert found[1].what.startswith("per_device_train_batch_size: 1 and gradient_accumulation_steps: 4")
    assert found[-1].what.startswith("method: qlora")


def test_nearest_is_the_one_with_fewest_changes() -> None:
    """Among earlier experiments the one with the fewest differing leaves is compared, the later of equals; prose does not count."""
    here = {"description": "x", "model": "m", "train": {"lora_rank": 8, "cutoff_len": 512}}
    far = {"description": "y", "model": "n", "train": {"lora_rank": 4}}
    near = {"description": "z", "model": "m", "train": {"lora_rank": 16, "cutoff_len": 512}}
    found = nearest(here, [("far", far), ("near", near), ("last", near)])
    assert found is not None
    assert (found.name, found.changes) == ("last", (("train.lora_rank", "16", "8"),))
    assert nearest(here, []) is None


@pytest.mark.parametrize(("rows", "scored"), [(100, 100), (9000, 500)])
def test_an_evaluation_is_planned_within_its_limit(work: Work, repository: Repository, rows: int, scored: int) -> None:
    """Rows up to max_rows, a range of hours that the time limit ends; none without a GPU, none where nothing is evaluated."""
    run = evaluated(repository, rows)
    found = scoring(run, work(), H100)
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert found.rows == scored
    assert 0 < found.low < found.high <= found.limit == 0.5
    on_cpu = scoring(run, work(), None)
    assert on_cpu is not None
    assert (on_cpu.low, on_cpu.high) == (None, None)
    assert scoring(run.model_copy(update={"evaluation": None}), work(), H100) is None


def evaluated(repository: Repository, rows: int) -> LockedRun:
    """The run of exp-002 with an evaluation on so many rows."""
    file = "experiments/team-a/exp-002.yaml"
    run = resolve(repository, "team-a", "exp-002", repository.experiment(file)).run
    held_out = run.datasets[0].model_copy(update={"name": "held-out", "rows": rows})
    wanted = LockedEvaluation(
        datasets=[held_out],
        metrics=["exact_match"],
        behaviours={},
        max_rows=500,
        max_new_tokens=64,
        time_limit_seconds=1800,
        passes=Passes(),
    )
    return run.model_copy(update={"evaluation": wanted})
