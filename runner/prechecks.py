"""Everything that can be known to be wrong before LLaMA Factory is imported: hashes, disk space, GPUs."""

from __future__ import annotations

import shutil

from runner import gpu, sizes
from runner.evaluate import needs
from runner.exits import Mismatch, OutOfMemory, Retry
from runner.hashing import fault, faults, names_in
from runner.storage import Paths, mounted
from tools.formats.lock import Lock
from tools.formats.model import File

GIB = 2**30
_PART_OF_PLANNED = 0.97  # drivers keep some of the memory for themselves, ECC too


def check(paths: Paths) -> None:
    """Run all checks; nothing is written.

    Raises:
        BadSpec: the evaluation needs packages that this image lacks.
        Mismatch: files are missing or differ; all are named.
        Retry: too little disk space, or no GPU where one is asked for.
        OutOfMemory: the weights alone are larger than the GPU.
    """
    needs.check(paths.lock)
    wrong = input_faults(paths)
    if wrong:
        raise Mismatch(
            "\n".join(wrong),
            "bring back the files that the lock names, or add them anew (`ft dataset add`, `ft model add`) and write a new "
            "experiment",
        )
    disk(paths)
    gpus(paths.lock)


def input_faults(paths: Paths) -> list[str]:
    """Datasets and base model files that are missing, changed, or not in the catalogue."""
    run = paths.lock.run
    wrong = []
    for dataset in run.datasets:
        path = paths.dataset(dataset)
        size = path.stat().st_size if path.is_file() else 0
        message = fault(path, File(sha256=dataset.sha256, size=size))  # the lock holds no size: the hash decides
        if message:
            wrong.append(message)
    wrong += faults(paths.base_model, run.model.files)
    # A file too many can change what is loaded: an adapter_config.json, another shard.
    wrong += [
        f"{paths.base_model / name}: not part of the model; allowed: {', '.join(run.model.files)}"
        for name in (names_in(paths.base_model) if paths.base_model.is_dir() else [])
        if name not in run.model.files and not name.startswith(".")
    ]
    return wrong


def disk(paths: Paths) -> None:
    """Compare the free space with what checkpoints and result need; what the run already wrote counts as free.

    Raises:
        Retry: too little.
    """
    needed = sizes.disk_bytes(paths)
    there = sum(path.stat().st_size for path in paths.checkpoints.rglob("*") if path.is_file())
    output = mounted(paths.checkpoints)
    free = shutil.disk_usage(output).free + there
    if free < needed:
        raise Retry(
            f"{output}: {free / GIB:.2f} GiB free; allowed: at least {needed / GIB:.2f} GiB for checkpoints and result",
            "free space on the tenant's storage, or lower save_total_limit in a new experiment",
            code="disk-full",
        )


def gpus(lock: Lock) -> None:
    """Compare the GPUs that are visible, and their memory, with what the run asks for.

    Raises:
        Retry: fewer GPUs than asked for, or another process fills them.
        OutOfMemory: the weights cannot fit, now or later.
    """
    asked = lock.run.resources.gpus
    if asked == 0 or lock.run.settings.get("use_cpu"):
        return
    found = gpu.visible()
    if len(found) < asked:
        raise Retry(
            f"{len(found)} GPUs are visible; allowed: {asked}, as resources.gpus asks",
            "check the node's driver and its nvidia.com/gpu resource; a run without a GPU has resources.gpus: 0",
        )
    planned = lock.run.resources.gpu_memory_gib
    least = min(each.total for each in found)
    if planned is not None and least < _PART_OF_PLANNED * planned * GIB:
        raise Retry(
            f"a GPU of this node has {least / GIB:.1f} GiB of memory; allowed: {planned:.1f} GiB, as the environment's GPU type has, "
            "by which the run was planned",
            f"put the right nodes into node_selector of environments/{lock.run.environment}.yaml, or name the GPU type that they "
            "have there (catalog/gpus.yaml)",
            code="no-gpu",
            measured_bytes=least,
            planned_bytes=round(planned * GIB),
        )
    weights = sizes.weight_bytes(lock)
    if weights > found[0].total:
        raise OutOfMemory(
            f"the weights alone take {weights / GIB:.1f} GiB; allowed: {found[0].total / GIB:.1f} GiB, the GPU's memory",
            "choose a larger GPU, a smaller model or method: qlora",
        )
    if weights > found[0].free:
        raise Retry(
            f"{found[0].free / GIB:.1f} GiB of GPU memory are free; allowed: at least {weights / GIB:.1f} GiB for the weights",
            "end what else uses this GPU: `nvidia-smi` lists it",
        )
