"""Attention over packed rows by their lengths, through torch's own FlashAttention for sequences of varying length.

LLaMA Factory keeps packed rows apart with a mask of tokens times tokens for each sequence. It is built on the CPU, copied to the
GPU, and keeps scaled_dot_product_attention from its fastest kernel. The lengths say the same. Imported only after torch.

Source of the kernel: Dao 2023, FlashAttention-2; torch.nn.attention.varlen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import pad

Attend = Callable[..., tuple[torch.Tensor, None]]
_MASK = 4  # dimensions of a mask that transformers takes as it is


def lengths(indices: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
    """Where rows end, in place of a mask.

    indices: (sequences, tokens), the row's number within its sequence, 0 for padding, as LLaMA Factory's collator has it.
    Returns int32 of (1, 1, 2, rows + 1): first the ends of all rows in the flattened tokens, with a leading 0, padding as a row
    of its own; then what turns each end into the row's number of tokens, so that the sum of everything is what the model
    reads, padding left out: that is what the trainer takes of a mask. Four dimensions pass through transformers untouched.
    """
    del dtype
    changes = torch.ones_like(indices, dtype=torch.bool)
    changes[:, 1:] = indices[:, 1:] != indices[:, :-1]
    flat = indices.flatten()
    starts = changes.flatten().nonzero().flatten()
    ends = torch.cat([starts[1:], torch.tensor([flat.numel()])])
    read = torch.where(flat[starts] == 0, 0, ends - starts)
    both = pad(torch.stack([ends, read - ends]), (1, 0))
    return both.to(torch.int32)[None, None]


def are_lengths(mask: torch.Tensor | None) -> bool:
    """Whether a mask is `lengths`'."""
    return mask is not None and mask.dtype == torch.int32 and mask.dim() == _MASK


def read_tokens(mask: torch.Tensor) -> torch.Tensor:
    """A mask whose sum is the number of tokens that the model reads, from whatever the collator made of packed rows.

    A mask of tokens times tokens, (sequences, 1, tokens, tokens), lets each token see itself and padding nothing.
    """
    if mask.dim() == _MASK and not are_lengths(mask):
        return mask.diagonal(dim1=-2, dim2=-1) == 0
    return mask


def attention(otherwise: Attend, kernel: Callable[..., torch.Tensor]) -> Attend:
    """What transformers calls for attention: `kernel` (torch's varlen_attn) for `lengths`, else `otherwise`."""

    def attend(
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        scaling: float | None = None,
        **options: Any,
    ) -> tuple[torch.Tensor, None]:
        """Query, key, value: (sequences, heads, tokens, size of a head); the result: (sequences, tokens, heads, size)."""
        if attention_mask is None or not are_lengths(attention_mask):
            return otherwise(module, query, key, value, attention_mask, scaling=scaling, **options)
        sequences, heads, tokens, size = query.shape
        ends = attention_mask[0, 0, 0]
        flat = (each.to(value.dtype).transpose(1, 2).flatten(0, 1) for each in (query, key, value))
        found = kernel(*flat, ends, ends, tokens, tokens, scale=scaling, window_size=(-1, 0))
        return found.view(sequences, tokens, heads, size), None

    return attend
