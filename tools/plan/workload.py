"""What a training run asks of each device, in numbers: the part of the lock, the catalogue and the manifests that the formulas use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from tools.formats.dataset import Dataset
from tools.formats.experiment import Method, Stage
from tools.formats.model import Architecture
from tools.llamafactory.table import SPECIAL_LOSSES
from tools.plan.lengths import sample
from tools.plan.steps import packs, value

PAIRS = frozenset({"rm", "dpo"})
_PAD_TO = 8  # llamafactory/train/*/workflow.py: the collator pads to a multiple of 8 tokens
_SAMPLE = 200
_OTHER_LOSS = (*SPECIAL_LOSSES, "label_smoothing_factor", "enable_liger_kernel")


@dataclass(frozen=True, slots=True)
class Workload:
    """One run as the formulas see it.

    settings: LLaMA Factory's arguments; gpus, nodes: as the experiment asks (0 GPUs: the CPU); fused: with the runner's own
    parts (runner/kernels).
    longest: tokens of the longest padded sequence; typical, expected: mean tokens of a row, cut to `cutoff_len`, and of
    the padded sequence in a usual batch. All three are `cutoff_len` where rows are packed or nobody measured them.
    """

    architecture: Architecture
    method: Method
    stage: Stage
    settings: Mapping[str, Any]
    gpus: int
    nodes: int
    longest: int
    typical: float
    expected: float
    measured: bool
    fused: bool = False

    def value(self, key: str) -> Any:
        """What LLaMA Factory uses for an argument."""
        return value(self.settings, key)

    @property
    def processes(self) -> int:
        """Processes that train together, one for each GPU."""
        return max(1, self.gpus) * self.nodes

    @property
    def sequences(self) -> int:
        """Sequences in one forward pass of one process: preference stages run the chosen and the rejected answer together."""
        return int(self.value("per_device_train_batch_size")) * (2 if self.stage in PAIRS else 1)

    @property
    def tokens(self) -> int:
        """Tokens in the largest forward pass of one process, padding included."""
        return self.sequences * self.longest

    @property
    def quantised(self) -> bool:
        """Whether the base's linear layers are kept in few bits."""
        return self.value("quantization_bit") is not None

    @property
    def half(self) -> bool:
        """Whether the forward pass computes in 16 bits (llamafactory/hparams/parser.py, `compute_dtype`)."""
        return any(self.value(key) for key in ("bf16", "fp16", "pure_bf16")) or self.gpus > 0

    @property
    def autocast(self) -> bool:
        """Whether 32-bit trainable weights are cast for each forward pass (accelerate's mixed precision)."""
        return bool(self.value("bf16") or self.value("fp16")) and not self.value("pure_bf16")

    @property
    def compute_bytes(self) -> int:
        """Bytes of one number in the forward pass."""
        return 2 if self.half else 4

    @property
    def trainable_bytes(self) -> int:
        """Bytes of one trainable weight: LLaMA Factory upcasts them to 32 bits (llamafactory/model/adapter.py, `init_adapter`)."""
        return 2 if self.value("pure_bf16") else 4

    @property
    def checkpointing(self) -> bool:
        """Gradient checkpointing, which LLaMA Factory switches on (llamafactory/model/model_utils/checkpointing.py)."""
        return not self.value("disable_gradient_checkpointing")

    @property
    def flash(self) -> bool:
        """Attention that keeps no score matrix: PyTorch's sdpa and FlashAttention."""
        return bool(self.value("flash_attn") != "disabled")

    @property
    def shards(self) -> int:
        """Parts that weights, gradients and optimiser states are shared out into: all processes with FSDP, else one."""
        return self.processes if self.settings.get("fsdp") else 1

    @property
    def liger(self) -> bool:
        """Liger's fused kernels."""
        return bool(self.value("enable_liger_kernel"))

    @property
    def fused_layers(self) -> bool:
        """LoRA layers that keep one copy of what several of them read."""
        return self.fused and self.gpus > 0 and self.method != "full" and self.shards == 1

    @property
    def labelled_head(self) -> bool:
        """A head that computes the labelled tokens only: on a CPU, where nothing but the model's own loss reads its logits."""
        own = self.stage == "sft" and not any(self.settings.get(key) for key in _OTHER_LOSS)
        return self.fused and self.gpus == 0 and own


def workload(
    architecture: Architecture,
    datasets: Sequence[Dataset],
    settings: Mapping[str, Any],
    *,
    method: Method,
    stage: Stage,
    gpus: int,
    nodes: int,
    fused: bool = False,
) -> Workload:
    """The workload of a run; lengths come from the datasets' manifests."""
    cutoff = value(settings, "cutoff_len")
    measured = all(dataset.tokens is not None for dataset in datasets)
    full = packs(settings) or not measured
    batch = value(settings, "per_device_train_batch_size")
    lengths = [cutoff] if full else _lengths(datasets, cutoff)
    return Workload(
        architecture=architecture,
        method=method,
        stage=stage,
        settings=settings,
        gpus=gpus,
        nodes=nodes,
        longest=cutoff if full else min(_padded(_longest(datasets)), _padded(cutoff)),
        typical=sum(lengths) / len(lengths),
        expected=lengths[min(len(lengths) - 1, len(lengths) * batch // (batch + 1))],
        measured=measured,
        fused=fused,
    )


def _padded(length: int) -> int:
    return ceil(length / _PAD_TO) * _PAD_TO


def _longest(datasets: Sequence[Dataset]) -> int:
    return max(dataset.tokens.max for dataset in datasets if dataset.tokens is not None)


def _lengths(datasets: Sequence[Dataset], cutoff: int) -> list[int]:
    """Cut lengths that stand for all rows, shortest first; a dataset counts by its rows."""
    total = sum(dataset.rows for dataset in datasets)
    found: list[int] = []
    for dataset in datasets:
        assert dataset.tokens is not None
        found += sample(dataset.tokens, max(1, round(_SAMPLE * dataset.rows / total)))
    return sorted(min(length, cutoff) for length in found)
