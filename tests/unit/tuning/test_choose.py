"""`performance: auto`: what is chosen, what stays as it was written, and what is never traded for speed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.formats.dataset import Dataset, TokenLengths
from tools.formats.experiment import Experiment
from tools.formats.gpus import GpuType
from tools.formats.model import Model
from tools.plan import memory
from tools.plan.fit import SAFE
from tools.plan.packing import packed_examples
from tools.plan.steps import training_steps, value
from tools.plan.workload import workload
from tools.repository import Repository
from tools.tuning import speed
from tools.tuning.choose import Choice, choose

REPOSITORY = Repository(Path(__file__).parents[2] / "fixtures" / "plan-repository")
H100 = GpuType(memory_gib=79.1, bandwidth_gb_s=3350, bf16_tflops=989, price_per_hour=18.0)
BATCH, ACCUMULATION = "per_device_train_batch_size", "gradient_accumulation_steps"
PUBLISHED: dict[str, Any] = {BATCH: 1, ACCUMULATION: 8, "cutoff_len": 2048}
CPU = speed.cpu(12 * memory.GIB)


def model(name: str = "seven-b") -> Model:
    """A model of the fixtures' catalogue."""
    found = REPOSITORY.model(name)
    assert found is not None
    return found


def dataset(rows: int = 1000, *, mean: float = 110, longest: int = 900) -> Dataset:
    """Rows of such lengths, most of them short."""
    found = REPOSITORY.dataset("team-a", "support-pl")
    assert found is not None
    p50, p90, p99 = (min(longest, round(mean * part)) for part in (0.8, 2, 4))
    tokens = TokenLengths(
        model="seven-b", total=round(rows * mean), mean=mean, p50=p50, p90=p90, p99=p99, max=longest, histogram={}
    )
    return found.model_copy(update={"rows": rows, "tokens": tokens})


def experiment(train: dict[str, Any], **fields: Any) -> Experiment:
    """An experiment under `performance: auto`."""
    common: dict[str, Any] = {"version": 1, "description": "x", "owner": "anna.nowak", "model": "seven-b"}
    common |= {"datasets": ["d"], "method": "lora", "performance": "auto", "train": train}
    return Experiment.model_validate({**common, **fields})


def chosen(
    train: dict[str, Any], data: Dataset | None = None, *, device: speed.Device | None = None, **fields: Any
) -> tuple[dict[str, Any], Choice]:
    """All settings after the choice, and the choice."""
    wanted = experiment(train, **fields)
    written = {"stage": wanted.stage, **train, **({"bf16": True} if wanted.resources.gpus else {})}
    found = choose(wanted, model(), [data or dataset()], written, device or speed.gpu(H100))
    return {**written, **found.settings}, found


def test_the_published_example_is_packed_into_one_pass() -> None:
    """Batch 1 x 8 of short rows becomes one sequence of as many tokens, without recomputation, several times as fast."""
    after, choice = chosen(PUBLISHED)
    assert (after["neat_packing"], after["disable_gradient_checkpointing"]) == (True, True)
    assert after[BATCH] * after[ACCUMULATION] * after["cutoff_len"] == pytest.approx(8 * 110, rel=0.1)
    assert choice.gain > 4
    assert choice.changes[ACCUMULATION] == (8, 1)
    assert any("about 8 rows" in reason for reason in choice.reasons)


def test_what_the_author_wrote_stays() -> None:
    """Packing, checkpointing, kernels and workers are the author's where the file names them."""
    fixed = {
        "packing": False,
        "disable_gradient_checkpointing": False,
        "enable_liger_kernel": False,
        "dataloader_num_workers": 0,
    }
    after, choice = chosen({**PUBLISHED, **fixed})
    assert {key: after[key] for key in fixed} == fixed
    assert set(choice.changes) == {BATCH, ACCUMULATION}
    assert (after[BATCH], after[ACCUMULATION]) == (8, 1)


@pytest.mark.parametrize("stage", ["dpo", "kto", "rm", "pt"])
def test_other_stages_are_not_packed_by_choice(stage: str) -> None:
    """Pairs cannot be packed and pre-training packs by itself: only the batch's split and the recomputation change."""
    after, _ = chosen(PUBLISHED, stage=stage)
    assert "neat_packing" not in after
    assert after["cutoff_len"] == 2048
    assert after[BATCH] * after[ACCUMULATION] == 8


def test_rows_that_nobody_measured_are_not_packed() -> None:
    """Without lengths nobody knows how many rows a sequence would hold."""
    after, _ = chosen(PUBLISHED, dataset().model_copy(update={"tokens": None}))
    assert "neat_packing" not in after


def test_liger_only_on_gpus() -> None:
    """The kernels are chosen where they run; a CPU has neither them nor the fused layers, but a head over labelled tokens."""
    after, choice = chosen(PUBLISHED)
    assert (after["enable_liger_kernel"], choice.fused) == (True, True)
    assert any("fused" in reason for reason in choice.reasons)
    after, choice = chosen(PUBLISHED, resources={"gpus": 0}, device=CPU)
    assert ("enable_liger_kernel" in after, choice.fused) == (False, True)
    assert not any("fused" in reason for reason in choice.reasons)
    assert "tokens that have a label" in choice.reasons[-1]


@pytest.mark.parametrize("other", [{"use_dft_loss": True}, {"label_smoothing_factor": 0.1}])
def test_another_loss_reads_all_logits(other: dict[str, Any]) -> None:
    """On a CPU nothing is left for the runner to do then."""
    _, choice = chosen({**PUBLISHED, **other}, resources={"gpus": 0}, device=CPU)
    assert not choice.fused
    assert not any("label" in reason for reason in choice.reasons)


def test_liger_only_for_models_that_it_knows() -> None:
    """LLaMA Factory would warn and go on without: the memory that it saves must not be counted on."""
    other = model().model_copy(
        update={"architecture": model().architecture.model_copy(update={"model_type": "falcon"})}
    )
    found = choose(experiment(PUBLISHED), other, [dataset()], {"stage": "sft", **PUBLISHED}, speed.gpu(H100))
    assert "enable_liger_kernel" not in found.settings


def test_a_run_that_does_not_fit_gets_the_split_that_does() -> None:
    """A batch of 64 long rows in one pass is over the memory: more passes of fewer rows, slower if need be, said so."""
    train = {BATCH: 64, "cutoff_len": 2048, "packing": False}
    data = dataset(mean=1500, longest=2048)
    after, choice = chosen(train, data)
    work = workload(model().architecture, [data], after, method="lora", stage="sft", gpus=1, nodes=1)
    assert after[BATCH] < 64
    assert after[BATCH] * after[ACCUMULATION] == 64
    assert memory.total(memory.parts(work)) <= SAFE * H100.memory_gib * memory.GIB
    assert any("more memory" in reason for reason in choice.reasons)


def test_nothing_changes_where_nothing_is_clearly_quicker() -> None:
    """Settings that auto chose are not chosen again: the choice is stable."""
    first, _ = chosen(PUBLISHED)
    _, again = chosen({key: value for key, value in first.items() if key not in {"stage", "bf16"}})
    assert again.changes == {}
    assert again.gain < 2  # by the fused layers alone


@settings(max_examples=150, deadline=None)
@given(
    batch=st.integers(1, 32),
    accumulation=st.integers(1, 32),
    cutoff=st.sampled_from([128, 256, 512, 1024, 2048, 4096]),
    rows=st.integers(1, 30000),
    mean=st.floats(5, 2000),
    stretch=st.floats(1, 20),
    gpus=st.integers(0, 8),
    epochs=st.sampled_from([0.5, 1, 3]),
)
def test_the_mathematics_stays(
    batch: int, accumulation: int, cutoff: int, rows: int, mean: float, stretch: float, gpus: int, epochs: float
) -> None:
    """Whatever is asked: as many steps an epoch within 2 %, the batch as written or packed, and no row cut that was whole."""
    train = {BATCH: batch, ACCUMULATION: accumulation, "cutoff_len": cutoff, "num_train_epochs": epochs}
    data = dataset(rows, mean=mean, longest=max(1, round(mean * stretch)))
    device = speed.gpu(H100) if gpus else CPU
    after, choice = chosen(train, data, resources={"gpus": gpus}, device=device)
    before = training_steps([data], train, gpus=gpus, nodes=1)
    now = training_steps([data], after, gpus=gpus, nodes=1)
    assert abs(now.steps_per_epoch - before.steps_per_epoch) <= 0.02 * before.steps_per_epoch
    assert data.tokens is not None
    if after.get("neat_packing"):
        whole = after["cutoff_len"] - 1
        assert whole >= min(data.tokens.max, cutoff)
        assert whole == cutoff or data.tokens.max <= cutoff  # nothing is kept that was cut, either
    else:
        assert after["cutoff_len"] == cutoff
        assert after[BATCH] * after[ACCUMULATION] == batch * accumulation
    assert set(choice.changes) <= {
        BATCH, ACCUMULATION, "cutoff_len", "neat_packing", "disable_gradient_checkpointing", "enable_liger_kernel",
        "dataloader_num_workers",
    }  # fmt: skip
    assert all(value(after, key) == now for key, (_, now) in choice.changes.items())


def test_packed_steps_hold_about_as_many_rows() -> None:
    """The packed sequences of a step hold the rows of a step as written, give or take those that do not fill one up."""
    data = dataset(5000)
    after, _ = chosen({**PUBLISHED, BATCH: 4}, data)
    assert data.tokens is not None
    examples = packed_examples(5000, data.tokens, cutoff=after["cutoff_len"], batch=1000, stage="sft")
    rows = 5000 / examples * after[BATCH] * after[ACCUMULATION]
    assert rows == pytest.approx(32, rel=0.05)
