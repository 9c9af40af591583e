"""y = W x + s B A x with W frozen: the low-rank part is added by the matrix product itself, in the type that x has.

peft widens x to float32 and autocast narrows it again, writes B A x, scales it and adds it: five passes over tensors that are as
large as the layer's input and output. Here x stays as it is and both additions happen inside the products (BLAS's beta), forward
and backward. The mathematics is the same, with fewer roundings. Imported only after torch and peft.

Source: Hu et al. 2021, LoRA, section 4.1.
"""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora import Linear as LoraLinear


class _Fused(torch.autograd.Function):  # type: ignore[misc]  # torch is absent where mypy runs
    """x: (tokens, in); weight: (out, in), frozen; a: (rank, in); b: (out, rank)."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        a: torch.Tensor,
        b: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        narrow = x @ a.to(x.dtype).t()
        ctx.save_for_backward(x, weight, a, b, narrow)
        ctx.scale = scale
        return torch.nn.functional.linear(x, weight, bias).addmm_(narrow, b.to(x.dtype).t(), alpha=scale)

    @staticmethod
    def backward(ctx: Any, dy: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight, a, b, narrow = ctx.saved_tensors
        back = (dy @ b.to(dy.dtype)) * ctx.scale
        dx = torch.mm(dy, weight).addmm_(back, a.to(dy.dtype)) if ctx.needs_input_grad[0] else None
        return dx, None, None, (back.t() @ x).to(a.dtype), (dy.t() @ narrow).mul_(ctx.scale).to(b.dtype), None


class _Added(torch.autograd.Function):  # type: ignore[misc]  # torch is absent where mypy runs
    """The same beside a product that something else computed, such as that of quantised weights: y, (tokens, out), in place."""

    @staticmethod
    def forward(ctx: Any, y: torch.Tensor, x: torch.Tensor, a: torch.Tensor, b: torch.Tensor, scale: float) -> Any:
        narrow = x @ a.to(x.dtype).t()
        ctx.save_for_backward(x, a, b, narrow)
        ctx.scale = scale
        ctx.mark_dirty(y)
        return y.addmm_(narrow, b.to(x.dtype).t(), alpha=scale)

    @staticmethod
    def backward(ctx: Any, dy: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, a, b, narrow = ctx.saved_tensors
        back = (dy @ b.to(dy.dtype)) * ctx.scale
        dx = back @ a.to(dy.dtype) if ctx.needs_input_grad[1] else None
        return dy, dx, (back.t() @ x).to(a.dtype), (dy.t() @ narrow).mul_(ctx.scale).to(b.dtype), None


def fits(layer: torch.nn.Module) -> bool:
    """Whether a layer is plain LoRA beside one frozen matrix: one adapter, no dropout, no bias of its own, no DoRA."""
    if not hasattr(layer, "lora_A") or len(getattr(layer, "active_adapters", ())) != 1:
        return False
    name = layer.active_adapters[0]
    if name not in layer.lora_A or layer.merged or layer.lora_variant or layer.lora_B[name].bias is not None:
        return False
    plain = isinstance(layer.lora_dropout[name], torch.nn.Identity)
    return plain and isinstance(layer.base_layer, torch.nn.Linear) and not layer.base_layer.weight.requires_grad


def fuse(layer: Any) -> None:
    """Let one layer that `fits` compute so, wherever autocast or its weights say bfloat16 or float16."""
    name = layer.active_adapters[0]
    a, b, scale, base = layer.lora_A[name], layer.lora_B[name], layer.scaling[name], layer.base_layer
    plain = type(layer) is LoraLinear and type(base) is torch.nn.Linear
    otherwise = layer.forward

    def forward(x: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
        if layer.merged or layer.disable_adapters or args or options:
            return otherwise(x, *args, **options)
        flat = x.to(_computed(x)).flatten(0, -2)
        if plain and base.weight.dtype == flat.dtype:
            y = _Fused.apply(flat, base.weight, base.bias, a.weight, b.weight, scale)
        else:
            y = _Added.apply(base(flat).to(flat.dtype), flat, a.weight, b.weight, scale)
        return y.view(*x.shape[:-1], -1)

    layer.forward = forward


def _computed(x: torch.Tensor) -> torch.dtype:
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
