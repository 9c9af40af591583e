"""Peak memory against what was measured and against the arithmetic of the papers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tools.plan import parameters
from tools.plan.memory import GIB, Part, allocated, parts
from tools.plan.workload import Workload

Work = Callable[..., Workload]
LIGER: dict[str, Any] = {"enable_liger_kernel": True}
WITHOUT_CHECKPOINTING: dict[str, Any] = {**LIGER, "disable_gradient_checkpointing": True}


def _part(found: list[Part], name: str) -> float:
    return next(part.bytes for part in found if part.name == name)


@pytest.mark.parametrize(
    ("model", "batch", "tokens", "settings", "measured"),
    [
        ("seven-b", 1, 480, {}, 14.6),
        ("seven-b", 8, 480, {}, 17.5),
        ("seven-b", 4, 2048, {}, 20.7),
        ("seven-b", 8, 2048, LIGER, 22.8),
        ("seven-b", 4, 2048, WITHOUT_CHECKPOINTING, 60.1),
        ("one-b", 1, 480, {}, 2.7),
        ("one-b", 8, 2048, WITHOUT_CHECKPOINTING, 27.5),
    ],
)
def test_peak_is_near_what_an_h100_showed(
    work: Work, model: str, batch: int, tokens: int, settings: dict[str, Any], measured: float
) -> None:
    """LoRA runs of a 7B and a 1B model are estimated within 15 % of torch's own peak, from batch 1 to no checkpointing."""
    assert allocated(parts(work(model, batch=batch, tokens=tokens, **settings))) / GIB == pytest.approx(
        measured, rel=0.15
    )


def test_adapter_counts_rank_times_inputs_and_outputs(work: Work) -> None:
    """Rank 8 on every linear layer of the 7B shape is 20,971,520 weights; on two named layers their share; the rank scales it."""
    assert parameters.adapter(work()) == 20_971_520
    assert parameters.adapter(work(lora_rank=16)) == 2 * 20_971_520
    assert parameters.adapter(work(lora_target="q_proj, v_proj")) == 8 * (4096 + 4096 + 4096 + 1024) * 32
    assert parameters.adapter(work(use_dora=True)) > 20_971_520


def test_lora_holds_adapter_in_32_bits(work: Work) -> None:
    """Each adapter weight costs 4 bytes, 4 for its gradient and 8 for Adam; the frozen base 2 bytes a weight."""
    found = parts(work())
    assert _part(found, "adapter") == 4 * 20_971_520
    assert _part(found, "gradients") == 4 * 20_971_520
    assert _part(found, "optimiser states") == 8 * 20_971_520
    assert _part(found, "weights") == 2 * work().architecture.parameters


def test_full_training_costs_16_bytes_a_parameter_and_the_casts(work: Work) -> None:
    """Mixed precision keeps weights, gradients and two states in 32 bits, and 16-bit copies while it computes; pure_bf16 halves it."""
    count = work().architecture.parameters
    held = ("weights", "gradients", "optimiser states")
    mixed, pure = parts(work(method="full")), parts(work(method="full", bf16=False, pure_bf16=True))
    assert sum(_part(mixed, name) for name in held) == 16 * count
    assert _part(mixed, "16-bit copies") == 2 * count
    assert sum(_part(pure, name) for name in held) == 8 * count


def test_qlora_keeps_linear_layers_in_four_bits(work: Work) -> None:
    """NF4 with double quantisation takes 4.127 bits a linear weight, embeddings and head stay in 16 bits; without it 4.5; 8 bits 8."""
    linear = parameters.linear(work().architecture)
    others = 2 * (work().architecture.parameters - linear)
    for settings, bits in (({}, 4.127), ({"double_quantization": False}, 4.5), ({"quantization_bit": 8}, 8.0)):
        found = parts(work(method="qlora", **{"quantization_bit": 4, **settings}))
        assert _part(found, "weights") == pytest.approx(linear * bits / 8 + others)


def test_eight_bit_optimiser_keeps_one_byte_a_state(work: Work) -> None:
    """paged_adamw_8bit holds two bytes a trained weight where Adam holds eight; sgd none."""
    assert _part(parts(work(optim="paged_adamw_8bit")), "optimiser states") == 2 * 20_971_520
    assert _part(parts(work(optim="sgd")), "optimiser states") == 0


def test_several_processes_hold_the_gradients_twice(work: Work) -> None:
    """With two GPUs the all-reduce buckets stand beside the gradients."""
    assert _part(parts(work(gpus=2)), "gradients") == 2 * _part(parts(work()), "gradients")


def test_preference_stages_run_two_sequences_a_row(work: Work) -> None:
    """A dpo batch of 1 computes as much as an sft batch of 2; with all weights trained it holds a reference model too."""
    assert _part(parts(work(stage="dpo")), "activations") == _part(parts(work(batch=2)), "activations")
    assert _part(parts(work(stage="dpo", method="full")), "reference model") == 2 * work().architecture.parameters
    assert "reference model" not in {part.name for part in parts(work(stage="dpo"))}


def test_attention_scores_count_without_flash_attention(work: Work) -> None:
    """With flash_attn: disabled each layer holds 5 bytes x heads x sequence for each token (Korthikanti et al., equation 1)."""
    settings = {"disable_gradient_checkpointing": True, "tokens": 1024}
    more = _part(parts(work(flash_attn="disabled", **settings)), "activations") - _part(
        parts(work(**settings)), "activations"
    )
    assert more == 5 * 32 * 1024 * 1024 * 32


def test_cpu_computes_in_32_bits_without_cuda(work: Work) -> None:
    """Without a GPU the base takes 4 bytes a weight and the overhead is the interpreter's."""
    found = parts(work(gpus=0, bf16=False))
    assert _part(found, "weights") == 4 * work().architecture.parameters
    assert _part(found, "overhead") == 1.5 * GIB


def test_every_part_names_formula_and_source(work: Work) -> None:
    """No number stands without its formula and where that comes from."""
    for changes in ({}, {"method": "full", "stage": "dpo"}, {"method": "qlora", "quantization_bit": 4}):
        assert all(part.formula and (part.source or not part.bytes) for part in parts(work(**changes)))


def test_fsdp_shares_out_all_states_and_gathers_layers(work: Work) -> None:
    """Of 8 GPUs each holds an eighth of weights, gradients and optimiser states, and two layers with the embeddings whole."""
    alone = parts(work(method="full", gpus=8))
    shared = parts(work(method="full", gpus=4, nodes=2, fsdp="full_shard auto_wrap"))
    for name in ("weights", "optimiser states"):
        assert _part(shared, name) == _part(alone, name) / 8
    assert _part(shared, "gradients") == _part(alone, "gradients") / 16  # and no all-reduce buckets beside them
    shape = work().architecture
    layers = sum(inputs * outputs * count for inputs, outputs, count in shape.linear_modules.values())
    outside = shape.parameters - layers
    assert _part(shared, "gathered layers") == 2 * (2 * (layers // shape.num_hidden_layers) + outside)
    assert "16-bit copies" not in {part.name for part in shared}
