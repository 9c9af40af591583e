"""The activation formula of `ft plan` against the tensors that torch really keeps for the backward pass."""

from __future__ import annotations

from typing import Any

import pytest

from tools.formats.model import Architecture
from tools.plan import activations
from tools.plan.workload import Workload

torch = pytest.importorskip("torch", reason="needs the runner's environment")
pytestmark = pytest.mark.heavy

WIDTH, INNER, LAYERS, HEADS, KEY_HEADS, WORDS = 1024, 2816, 3, 16, 4, 640
BATCH, LENGTH = 2, 256


def _model(*, full: bool) -> Any:
    """A Llama-style model as LLaMA Factory sets it up: LoRA on a 16-bit base, or all weights in 32 bits."""
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    model = LlamaForCausalLM(
        LlamaConfig(
            hidden_size=WIDTH,
            intermediate_size=INNER,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            num_key_value_heads=KEY_HEADS,
            vocab_size=WORDS,
            attn_implementation="sdpa",
            use_cache=False,
        )
    )
    if full:
        return model.train()
    model = get_peft_model(model.bfloat16(), LoraConfig(r=8, target_modules="all-linear"))
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    model.enable_input_require_grads()
    return model.train()


def _kept(model: Any) -> int:
    """Bytes of the distinct storages that autograd keeps after a forward pass, weights and their 16-bit casts left out."""
    storages: dict[int, int] = {}
    alive = []  # a freed storage's address would be used again
    shapes = {shape for parameter in model.parameters() for shape in (parameter.shape, parameter.shape[::-1])}

    def pack(tensor: Any) -> Any:
        if tensor.shape not in shapes:
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            alive.append(tensor)
        return tensor

    rows = torch.randint(0, WORDS, (BATCH, LENGTH))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), torch.autocast("cpu", torch.bfloat16):
        loss = model(input_ids=rows, labels=rows).loss
    assert loss.requires_grad
    return sum(storages.values())


@pytest.mark.parametrize("method", ["lora", "full"])
def test_layers_keep_what_the_formula_counts(method: Any) -> None:
    """Three layers of a Llama-style model keep the formula's bytes within 5 %, with an adapter and with all weights trained."""
    work = Workload(
        architecture=Architecture(
            model_type="llama",
            hidden_size=WIDTH,
            intermediate_size=INNER,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            num_key_value_heads=KEY_HEADS,
            head_dim=WIDTH // HEADS,
            vocab_size=WORDS,
            max_position_embeddings=2048,
            tie_word_embeddings=False,
            parameters=1,
            linear_modules={},
        ),
        method=method,
        stage="sft",
        settings={"bf16": True, "per_device_train_batch_size": BATCH},
        gpus=1,
        nodes=1,
        longest=LENGTH,
        typical=LENGTH,
        expected=LENGTH,
        measured=True,
    )
    planned = LAYERS * activations.layer(work) + BATCH * LENGTH * WORDS * 4  # and the log-softmax of the loss
    assert planned == pytest.approx(_kept(_model(full=method == "full")), rel=0.05)
