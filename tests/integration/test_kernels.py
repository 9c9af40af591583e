"""Fused attention and LoRA layers compute what LLaMA Factory's collator, transformers and peft compute, gradients included.

torch's kernel for rows of varying length runs on GPUs only: here a loop over the rows stands in for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from runner import tokenised
from tests.integration.test_runner_tokenised import loaded
from tests.integration.test_runner_training import Place
from tests.runs import make_paths, write_model

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(find_spec("llamafactory") is None, reason="needs the runner's environment"),
]
ROWS = [[1, 1, 1, 2, 2, 2, 3, 0], [1, 1, 2, 2, 2, 2, 0, 0]]
PLACES = [[0, 1, 2, 0, 1, 2, 0, 0], [0, 1, 0, 1, 2, 3, 0, 0]]


def one_by_one(query: Any, key: Any, value: Any, ends: Any, _ends: Any, *_: int, scale: float, window_size: Any) -> Any:
    """What torch.nn.attention.varlen.varlen_attn computes."""
    import torch

    assert window_size == (-1, 0), "causal"
    found = []
    for start, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        row = (part[start:end].transpose(0, 1)[None] for part in (query, key, value))
        attend = torch.nn.functional.scaled_dot_product_attention
        found.append(attend(*row, is_causal=True, scale=scale, enable_gqa=True)[0].transpose(0, 1))
    return torch.cat(found)


@pytest.fixture
def model() -> Any:
    """A small Llama with grouped queries and LoRA on every linear layer, none of whose parts is zero."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2}
    base = LlamaForCausalLM(LlamaConfig(vocab_size=99, num_hidden_layers=2, **shape))
    found = get_peft_model(base, LoraConfig(r=4, target_modules="all-linear"))
    for name, weight in found.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight)
    return found


@pytest.fixture
def attention() -> Iterator[None]:
    """The packed attention in its place, with the loop as its kernel."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    from runner.kernels import packed

    ALL_ATTENTION_FUNCTIONS.register("sdpa", packed.attention(sdpa_attention_forward, one_by_one))
    yield
    ALL_ATTENTION_FUNCTIONS.register("sdpa", sdpa_attention_forward)


def learnt(model: Any, mask: Any) -> tuple[float, dict[str, Any]]:
    """Loss and gradients of two packed sequences."""
    import torch

    rows = torch.tensor(ROWS)
    words = torch.arange(rows.numel()).view_as(rows) + 3
    labels = torch.where(rows == 0, -100, words)
    loss = model(input_ids=words, attention_mask=mask, position_ids=torch.tensor(PLACES), labels=labels).loss
    loss.backward()
    found = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad()
    return loss.item(), found


def masks() -> tuple[Any, Any]:
    """LLaMA Factory's mask of the rows, and their lengths."""
    import torch
    from llamafactory.data.collator import prepare_4d_attention_mask

    from runner.kernels import packed

    return prepare_4d_attention_mask(torch.tensor(ROWS), torch.float32), packed.lengths(torch.tensor(ROWS))


def fused(model: Any) -> int:
    """Fuse what fits; how many layers that were."""
    from runner.kernels import lora

    layers = [layer for layer in model.modules() if lora.fits(layer)]
    for layer in layers:
        lora.fuse(layer)
    return len(layers)


@pytest.mark.usefixtures("attention")
def test_lengths_are_the_mask(model: Any) -> None:
    """Loss and every gradient are those of the mask of tokens times tokens."""
    import torch

    whole, lengths = masks()
    loss, gradients = learnt(model, whole)
    same, found = learnt(model, lengths)
    assert same == pytest.approx(loss, rel=1e-6)
    for name, gradient in gradients.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)


def test_both_masks_count_what_the_model_reads() -> None:
    """Thirteen tokens are in the rows; the sum of LLaMA Factory's mask, which the trainer takes, is no number of tokens."""
    from runner.kernels import packed

    whole, lengths = masks()
    assert packed.read_tokens(whole).sum() == packed.read_tokens(lengths).sum() == 13
    assert whole.sum() < 0


@pytest.mark.parametrize("frozen", ["matrix", "other"])
def test_fused_layers_learn_the_same(model: Any, monkeypatch: pytest.MonkeyPatch, frozen: str) -> None:
    """Beside a plain frozen matrix, and beside a layer that computes its product by itself, as quantised ones do."""
    import torch

    from runner.kernels import lora

    whole, _ = masks()
    loss, gradients = learnt(model, whole)
    if frozen == "other":
        monkeypatch.setattr(lora, "LoraLinear", type("Other", (), {}))
    assert fused(model) == 14
    same, found = learnt(model, whole)
    assert same == pytest.approx(loss, rel=1e-6)
    assert found.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)


def test_under_autocast_a_layer_is_as_exact_as_pefts(model: Any) -> None:
    """Beside float32: result and gradients of a base in bfloat16 with an adapter in float32, which LLaMA Factory trains."""
    import torch

    from runner.kernels import lora

    layer = next(layer for layer in model.modules() if lora.fits(layer))
    inputs, upper = torch.randn(64, 32).bfloat16(), torch.randn(64, 32).bfloat16()

    def passed(kind: Any) -> list[Any]:
        layer.base_layer.weight.data = weight.to(kind)
        x = inputs.to(kind, copy=True).requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=kind is torch.bfloat16):
            found = layer(x)
        found.backward(upper.to(found.dtype))
        parts = [found, x.grad, layer.lora_A["default"].weight.grad, layer.lora_B["default"].weight.grad]
        model.zero_grad()
        return [part.detach().float() for part in parts]

    weight = layer.base_layer.weight.data.bfloat16()
    exact, pefts = passed(torch.float32), passed(torch.bfloat16)
    lora.fuse(layer)
    for true, theirs, ours in zip(exact, pefts, passed(torch.bfloat16), strict=True):
        assert (ours - true).norm() <= 1.1 * (theirs - true).norm()
        assert (ours - true).norm() < 0.01 * true.norm()


def test_quantised_layers_learn_the_same(tmp_path: Path) -> None:
    """Beside bitsandbytes' own layers in four bits, as QLoRA trains them."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    write_model(tmp_path / "base")
    bits = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32)
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base", quantization_config=bits)
    quantised = get_peft_model(base, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False))
    whole, _ = masks()
    loss, gradients = learnt(quantised, whole)
    assert fused(quantised) == len(gradients) // 2
    same, found = learnt(quantised, whole)
    assert same == pytest.approx(loss, rel=1e-6)
    for name, gradient in gradients.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("option", [{"lora_dropout": 0.1}, {"use_dora": True}, {"lora_bias": True}])
def test_other_layers_stay_pefts(model: Any, option: dict[str, Any]) -> None:
    """Dropout, DoRA and biases are other mathematics."""
    from peft import LoraConfig, get_peft_model

    other = get_peft_model(model.unload(), LoraConfig(r=4, target_modules="all-linear", **option))
    assert fused(other) == 0


def test_a_layer_switched_off_is_the_base(model: Any) -> None:
    """Preference training asks the base for its opinion through the same layers."""
    import torch

    words = torch.arange(8)[None]
    with model.disable_adapter():
        before = model(input_ids=words).logits
    fused(model)
    with model.disable_adapter():
        assert torch.equal(model(input_ids=words).logits, before)
    assert not torch.equal(model(input_ids=words).logits, before)


def test_packed_training_tells_its_tokens(tmp_path: Path) -> None:
    """The progress of a real packed training counts the rows' own tokens, padding left out."""
    settings = {"neat_packing": True, "cutoff_len": 256, "num_train_epochs": 1.0, "max_steps": -1}
    place = Place(tmp_path, make_paths(tmp_path, settings=settings))
    rows = loaded(place.paths, tmp_path / "rows", tokenised.cache(place.paths, tmp_path / "rows"))["train_dataset"]
    ended = place.train()
    assert ended.code == 0, ended.output
    assert ended.named("progress")[-1]["tokens"] == sum(mark > 0 for row in rows for mark in row["attention_mask"])
