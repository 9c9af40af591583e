"""The model's head over the tokens that have a label, on a CPU: the others' logits reach neither the loss nor a gradient.

Of a row of instruction tuning only the answer has labels, and the head is a fifth of a small model's work.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from transformers.loss.loss_utils import ForCausalLMLoss

UNLABELLED = -100  # torch's cross_entropy leaves such a target out


def fits(model: Any) -> bool:
    """Whether the model takes the places whose logits are wanted, and computes the plain loss from them.

    model: as the trainer calls it, under an adapter or not.
    """
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    takes = inspect.signature(inner.forward).parameters
    return "logits_to_keep" in takes and getattr(inner, "loss_function", None) is ForCausalLMLoss


def narrow(model: Any) -> None:
    """Let a training step's logits be those of `wanted`; evaluation and generation keep all."""
    model.register_forward_pre_hook(_step, with_kwargs=True)


def wanted(labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Places that any row of the batch has a label for, and the labels there.

    labels: (rows, tokens), each token's own. The places: (kept,), each the token before a labelled one, as it predicts that one;
    their labels: (rows, kept).
    """
    shifted = torch.nn.functional.pad(labels, (0, 1), value=UNLABELLED)[:, 1:]
    places = (shifted != UNLABELLED).any(dim=0).nonzero().squeeze(1)
    return places, shifted[:, places]


def _step(model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    labels = kwargs.get("labels")
    if labels is None or not model.training or kwargs.keys() & {"logits_to_keep", "shift_labels"}:
        return None
    places, shifted = wanted(labels)
    if not len(places):  # the mean of no losses is no number, with all logits or none: that is for the model to say
        return None
    return args, {**kwargs, "logits_to_keep": places, "shift_labels": shifted}
