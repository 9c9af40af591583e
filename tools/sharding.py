"""Which runs share their weights out over their GPUs, and how: the platform's choice, written into the lock's settings.

Fully sharded data parallel (FSDP) is part of torch; DeepSpeed would be one more package and one more version to keep in step.
What LLaMA Factory 0.9.5 takes with it: full and LoRA training of an unquantised base; 4-bit bases only with a storage type
that its own merge does not read, so qlora keeps a whole, small base on each GPU. A reward model's value head is no part of the
layers that FSDP wraps (llamafactory/train/callbacks.py), so stage rm is not shared out.
"""

from __future__ import annotations

from typing import Any

from tools.formats.experiment import Experiment
from tools.formats.model import Architecture

GIB = 1024**3
_BYTES = 2  # of a frozen weight on a GPU: the compute type
_SHARE = 0.5  # of a GPU's memory; the other half is for activations, the adapter and its optimiser

# transformers/training_args.py, `fsdp` and `fsdp_config`. Each rank keeps its part of weights, gradients and optimiser states;
# a layer is gathered when it is computed. Only one rank of a node reads the weights from the storage.
PRESET: dict[str, Any] = {
    "fsdp": "full_shard auto_wrap",
    "fsdp_config": {
        "version": 1,
        "backward_prefetch": "backward_pre",
        "cpu_ram_efficient_loading": True,
        "sync_module_states": True,
        "use_orig_params": True,
    },
}


def settings(experiment: Experiment, architecture: Architecture, gpu_gib: float | None) -> dict[str, Any]:
    """The preset for runs that need it, else nothing.

    gpu_gib: memory of one GPU; None when the catalogue does not know it.
    """
    resources = experiment.resources
    if resources.gpus == 0 or resources.gpus * resources.nodes == 1 or experiment.stage == "rm":
        return {}
    if experiment.method == "full":
        return PRESET
    if experiment.method == "lora" and gpu_gib and architecture.parameters * _BYTES > _SHARE * gpu_gib * GIB:
        return PRESET
    return {}
