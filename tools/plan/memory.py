"""Peak memory of one training process, part by part, each with its formula and source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tools.plan import activations, parameters
from tools.plan.workload import Workload

GIB = 1024**3

CUDA_CONTEXT = 0.6 * GIB
PYTHON = 1.5 * GIB
_FRAGMENTS = 0.05
# What `optim` keeps for each trainable weight, in numbers of that weight's size; 8-bit optimisers one byte each.
_STATES = {"sgd": 0, "adafactor": 0, "lion_32bit": 1, "paged_lion_32bit": 1, "rmsprop": 1, "adagrad": 1}
_EIGHT_BIT = {"lion_8bit": 1, "paged_lion_8bit": 1, "rmsprop_bnb_8bit": 1}
_TWO_STATES = 2
_FSDP = (
    "Zhao et al. 2023, PyTorch FSDP, section 3: 1/F of all states and the largest unit whole, the next one prefetched"
)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the memory, in bytes, with the formula in the run's own numbers."""

    name: str
    bytes: float
    formula: str
    source: str


def parts(work: Workload) -> list[Part]:
    """The parts of one process's peak memory. Their sum without `overhead` is what torch.cuda.max_memory_allocated reports."""
    kept = [_weights(work), _adapter(work), _gradients(work), _optimiser(work)]
    held = [*(_shared_out(part, work.shards) for part in kept), *_activations(work)]
    further = (_autocast(work), _gathered(work), _reference(work), _dequantised(work))
    held += [part for part in further if part is not None]
    return [*held, _overhead(work, sum(part.bytes for part in held))]


def total(found: Sequence[Part]) -> float:
    """Bytes in all."""
    return sum(part.bytes for part in found)


def allocated(found: Sequence[Part]) -> float:
    """Bytes in tensors: the total without the overhead."""
    return sum(part.bytes for part in found if part.name != "overhead")


def bits(work: Workload) -> float:
    """Bits of one quantised weight with its scales."""
    width = int(work.value("quantization_bit"))
    if width != 4:  # noqa: PLR2004 - 4-bit NF4 alone has block scales
        return float(width)
    return 4.127 if work.value("double_quantization") else 4.5


def _weights(work: Workload) -> Part:
    all_of = work.architecture.parameters
    if work.method == "full":
        size = work.trainable_bytes
        source = "llamafactory/model/adapter.py: trainable weights are kept in 32 bits unless pure_bf16"
        return Part("weights", all_of * size, f"{all_of:,} parameters x {size} B", source)
    size = work.compute_bytes
    if not work.quantised:
        source = "llamafactory/hparams/parser.py: the frozen base is loaded in the compute type"
        return Part("weights", all_of * size, f"{all_of:,} parameters x {size} B", source)
    few = parameters.linear(work.architecture)
    return Part(
        "weights",
        few * bits(work) / 8 + (all_of - few) * size,
        f"{few:,} linear weights x {bits(work)} bit + {all_of - few:,} others x {size} B",
        "Dettmers et al. 2023, QLoRA, section 3: NF4 and double quantisation of the block scales (0.5 -> 0.127 bit)",
    )


def _adapter(work: Workload) -> Part:
    if work.method == "full":
        return Part("adapter", 0, "none: all weights are trained", "")
    count = parameters.trainable(work)
    return Part(
        "adapter",
        count * work.trainable_bytes,
        f"{count:,} trainable parameters (rank {work.value('lora_rank')}) x {work.trainable_bytes} B",
        "Hu et al. 2021, LoRA: r x (inputs + outputs) a layer; llamafactory/model/adapter.py upcasts them",
    )


def _gradients(work: Workload) -> Part:
    count, size = parameters.trainable(work), work.trainable_bytes
    buckets = work.processes > 1 and work.shards == 1
    formula = f"{count:,} trainable parameters x {size} B" + (
        " x 2 (gradients and all-reduce buckets)" if buckets else ""
    )
    source = "one gradient a trainable weight; torch DistributedDataParallel: buckets beside them"
    return Part("gradients", count * size * (2 if buckets else 1), formula, source)


def _optimiser(work: Workload) -> Part:
    count, name = parameters.trainable(work), str(work.value("optim"))
    size, numbers = work.trainable_bytes, _STATES.get(name, _TWO_STATES)
    if "8bit" in name:
        size, numbers = 1, _EIGHT_BIT.get(name, _TWO_STATES)
    return Part(
        "optimiser states",
        count * size * numbers,
        f"{count:,} trainable parameters x {numbers} states x {size} B ({name})",
        "Rajbhandari et al. 2020, ZeRO, section 3.1: Adam keeps momentum and variance; Dettmers et al. 2022 for 8 bits",
    )


def _activations(work: Workload) -> list[Part]:
    kept, loss = activations.peak(work)
    a = work.architecture
    how = "inputs of each layer, one layer at a time in full" if work.checkpointing else "every layer in full"
    shape = f"{work.sequences} x {work.longest} tokens"
    return [
        Part(
            "activations",
            kept,
            f"{shape}, {a.num_hidden_layers} layers of width {a.hidden_size}: {how}",
            "Korthikanti et al. 2022, section 4, counted for this layer; Chen et al. 2016 for checkpointing",
        ),
        Part(
            "logits",
            loss,
            _logits_formula(work, shape, loss),
            "transformers ForCausalLMLoss; Liger Kernel, section 3.2",
        ),
    ]


def _logits_formula(work: Workload, shape: str, loss: float) -> str:
    if not loss:
        return "freed before the peak, which is in the backward pass"
    if work.liger and work.stage in {"sft", "pt"}:
        return f"{shape} x {work.architecture.hidden_size} x {work.compute_bytes + 8} B (Liger: in chunks)"
    return f"{shape} x {work.architecture.vocab_size:,} words x {14 if work.half else 12} B"


def _autocast(work: Workload) -> Part | None:
    if work.method != "full" or not work.autocast or work.shards > 1:
        return None
    count = work.architecture.parameters
    return Part(
        "16-bit copies", count * 2, f"{count:,} parameters x 2 B", "torch autocast: casts of 32-bit weights are cached"
    )


def _shared_out(part: Part, shards: int) -> Part:
    """What one of `shards` processes holds of a part that FSDP shares out."""
    if shards == 1 or not part.bytes:
        return part
    source = f"{part.source}; {_FSDP}"
    return Part(part.name, part.bytes / shards, f"{part.formula} / {shards} GPUs", source)


def _gathered(work: Workload) -> Part | None:
    """What FSDP has whole at once: the layer that is computed, the next one, and what lies outside the layers."""
    if work.shards == 1:
        return None
    layers = sum(i * o * n for i, o, n in work.architecture.linear_modules.values())
    layer = layers // work.architecture.num_hidden_layers
    outside = max(0, work.architecture.parameters - layers)
    formula = f"(2 layers x {layer:,} + {outside:,} outside the layers) x {work.compute_bytes} B"
    return Part("gathered layers", (2 * layer + outside) * work.compute_bytes, formula, _FSDP)


def _reference(work: Workload) -> Part | None:
    if work.method != "full" or work.stage not in {"dpo", "kto"} or work.value("pref_loss") in {"orpo", "simpo"}:
        return None
    count = work.architecture.parameters
    size = work.compute_bytes
    source = "llamafactory/train/trainer_utils.py, `create_ref_model`: an adapter is switched off instead"
    return Part("reference model", count * size, f"{count:,} parameters x {size} B", source)


def _dequantised(work: Workload) -> Part | None:
    if not work.quantised:
        return None
    count = parameters.largest_linear(work.architecture)
    formula = f"{count:,} weights of the largest layer x {work.compute_bytes} B"
    return Part(
        "dequantised layer", count * work.compute_bytes, formula, "bitsandbytes: a layer is unpacked to be multiplied"
    )


def _overhead(work: Workload, held: float) -> Part:
    if work.gpus == 0:
        return Part(
            "overhead",
            PYTHON,
            "1.5 GiB",
            "0.9 GiB once LLaMA Factory is imported (measured); the rest for rows, threads and buffers",
        )
    formula = f"0.6 GiB CUDA context + {_FRAGMENTS:.0%} of the rest"
    source = (
        "context: nvidia-smi beside torch's own count; the share is left unused between blocks by torch's allocator"
    )
    return Part("overhead", CUDA_CONTEXT + _FRAGMENTS * held, formula, source)
