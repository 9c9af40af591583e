"""Bytes that the forward pass keeps for the backward pass, and the logits at its end.

The counting follows Korthikanti et al. 2022 (Reducing Activation Recomputation in Large Transformer Models, section 4):
every tensor that some backward needs, once. What is counted is Llama's layer as transformers 5.6 and peft 0.18 write it
(RMSNorm, grouped-query attention, gated MLP) in place of the paper's GPT layer.
"""

from __future__ import annotations

from tools.plan.workload import Workload

_SCORES = (
    5  # Korthikanti et al., equation 1: 5 a s bytes a token for softmax in, out and dropout, without flash attention
)


def layer(work: Workload) -> float:
    """Bytes that one decoder layer keeps.

    Tokens x (norms + inputs of the trained linear layers + attention + MLP). A norm keeps its input in 32 bits (Liger: as
    it is) and, where its weight is trained, the normalised input too; a trained or adapted linear layer keeps its own copy
    of its input (fused: q, k and v share one, gate and up another, and the MLP's product is one with what down keeps); flash attention keeps q, k, v and its output; the gated MLP keeps gate, up and activated gate (Liger
    computes the last one again). Without flash attention the scores come on top.
    """
    a = work.architecture
    width, query, key = a.hidden_size, a.num_attention_heads * a.head_dim, a.num_key_value_heads * a.head_dim
    size = work.compute_bytes
    norms = 2 * width * (residual(work) if work.liger else 4) * (2 if work.method == "full" and not work.liger else 1)
    inputs = size * ((2 if work.fused_layers else 5) * width + query + a.intermediate_size)
    attention = size * (2 * query + 2 * key)
    mlp = size * a.intermediate_size * (2 if work.liger else 3)
    scores = 0 if work.flash else _SCORES * a.num_attention_heads * work.longest
    return work.tokens * (norms + inputs + attention + mlp + scores)


def checkpoints(work: Workload) -> float:
    """Bytes of the layers' inputs, all that gradient checkpointing keeps (Chen et al. 2016, section 3; one checkpoint a layer)."""
    return work.tokens * work.architecture.hidden_size * residual(work) * work.architecture.num_hidden_layers


def residual(work: Workload) -> int:
    """Bytes of one number between layers: that of the embedding's weights, which full training keeps in 32 bits."""
    return work.trainable_bytes if work.method == "full" else work.compute_bytes


def logits(work: Workload) -> float:
    """Bytes of the logits and what the loss makes of them.

    Tokens x vocabulary x: the logits (2 in 16 bits), their 32-bit copy (4), log-softmax (4) and either accelerate's
    32-bit copy of the output or the gradient (4); in 32 bits the first two are one. Sources: transformers/loss/loss_utils.py
    `ForCausalLMLoss`, accelerate `convert_outputs_to_fp32`. Liger's fused loss makes none of them whole: a chunk of
    tokens x hidden size numbers at a time (Hsu et al. 2024, Liger Kernel, section 3.2).
    """
    if work.liger and work.stage in {"sft", "pt"}:
        return work.tokens * work.architecture.hidden_size * (work.compute_bytes + 8)
    each = 14 if work.half else 12
    return work.tokens * work.architecture.vocab_size * each


def peak(work: Workload) -> tuple[float, float]:
    """Bytes at the worst moment: (activations, logits).

    With checkpointing that is either the loss (all checkpoints and the logits) or, the logits gone, one layer being
    computed again with the gradients of what it keeps; without, every layer is kept when the loss is computed.
    """
    if not work.checkpointing:
        return layer(work) * work.architecture.num_hidden_layers, logits(work)
    again = 2 * layer(work)
    if again > logits(work):
        return checkpoints(work) + again, 0.0
    return checkpoints(work), logits(work)
