"""Puts the parts in where the lock asks for them (`performance.fused`), a GPU's or a CPU's; nowhere else. Imported only after transformers.

FSDP shares weights out behind the layers' backs, and torch.compile (2.11) loses the gradients of products in place: there the
LoRA layers stay peft's.
"""

from __future__ import annotations

import json
from typing import Any

import torch
from llamafactory.data import collator
from torch.nn.attention.varlen import varlen_attn
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from runner.events import message
from runner.kernels import head, lora, packed
from runner.storage import Paths

# Decoders with plain causal attention, whose class asks transformers for its attention function and which LLaMA Factory leaves there.
PLAIN = frozenset(
    {"llama", "mistral", "mixtral", "phi3", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "granite", "smollm3"}
)
_DEFAULT = (None, "auto", "sdpa")
_SIXTEEN_BITS = ("bf16", "fp16", "pure_bf16")
_OWN = ("fsdp", "torch_compile")


def callbacks(paths: Paths) -> list[TrainerCallback]:
    """Install what fits this run; the callbacks that finish it once the model is there."""
    count_read_tokens()
    performance = paths.lock.run.performance
    if performance is None or not performance.fused:
        return []
    if not torch.cuda.is_available():
        return [] if paths.lock.run.resources.gpus else [Narrow()]
    settings, together = paths.lock.run.settings, packs_plainly(paths)
    if together:
        collator.prepare_4d_attention_mask = packed.lengths
        ALL_ATTENTION_FUNCTIONS.register("sdpa", packed.attention(sdpa_attention_forward, varlen_attn))
    return [Fuse(packed_rows=together, layers=not any(settings.get(key) for key in _OWN))]


def packs_plainly(paths: Paths) -> bool:
    """Whether rows are packed and kept apart, in a model whose attention `packed` knows."""
    settings = paths.lock.run.settings
    if not settings.get("neat_packing") or settings.get("flash_attn") not in _DEFAULT:
        return False
    if not any(settings.get(key) for key in _SIXTEEN_BITS):
        return False
    config = json.loads((paths.base_model / "config.json").read_text(encoding="utf-8"))
    return config.get("model_type") in PLAIN and not config.get("attention_dropout")


def count_read_tokens() -> None:
    """Let the trainer count the tokens of packed rows: it takes the sum of the mask, which is none of their number there."""
    count = Trainer._track_num_input_tokens  # noqa: SLF001 - the one place where it looks at a batch

    def counted(self: Trainer, inputs: dict[str, Any]) -> None:
        mask = inputs.get("attention_mask")
        count(self, inputs if mask is None else {**inputs, "attention_mask": packed.read_tokens(mask)})

    if not getattr(count, "reads_packed", False):
        counted.reads_packed = True  # type: ignore[attr-defined]
        Trainer._track_num_input_tokens = counted  # noqa: SLF001


class Fuse(TrainerCallback):  # type: ignore[misc]  # transformers is absent where mypy runs
    """Before the first step: fuses LoRA layers, and makes sure that whoever gets rows' lengths in place of a mask understands them."""

    def __init__(self, *, packed_rows: bool, layers: bool) -> None:
        self._packed_rows = packed_rows
        self._layers = layers

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """The model is there, on its device, with its adapter."""
        del args, state, control
        self.fuse(kwargs["model"])

    def fuse(self, model: Any) -> None:
        """A layer that does not fit, such as one with dropout, stays peft's.

        Raises:
            RuntimeError: the model computes its attention otherwise than `packs_plainly` foresaw.
        """
        if self._packed_rows and model.config._attn_implementation != "sdpa":  # noqa: SLF001 - transformers' own name for it
            raise RuntimeError(f"attention is {model.config._attn_implementation}, which needs a mask")  # noqa: SLF001
        layers = [layer for layer in model.modules() if self._layers and hasattr(layer, "lora_A")]
        fused = [layer for layer in layers if lora.fits(layer)]
        for layer in fused:
            lora.fuse(layer)
        if layers:
            message(f"{len(fused)} of {len(layers)} LoRA layers are fused")


class Narrow(TrainerCallback):  # type: ignore[misc]  # transformers is absent where mypy runs
    """Before the first step on a CPU: the head computes the labelled tokens only."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """The model is there, with its adapter; one whose loss is another stays as it is."""
        del args, state, control
        if head.fits(kwargs["model"]):
            head.narrow(kwargs["model"])
            message("the head computes the labelled tokens only")
