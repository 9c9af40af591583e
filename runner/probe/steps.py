"""One way of computing on the run's real model and rows: does it fit, how long does a row take?

Imported only after transformers. The optimiser's states are made first, so that the peak is that of training; weights change, which
nobody reads: this process ends before the training begins.
"""

from __future__ import annotations

import gc
import time
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import psutil
import torch
from torch.utils.checkpoint import checkpoint
from torch.utils.data import SequentialSampler

from runner.kernels.install import Fuse
from runner.probe.ways import Way

SAFE = 0.9  # of the memory: fragments and longer rows of later epochs need some
_CONTEXT = 0.6 * 2**30  # CUDA's own, which torch does not count (tools/plan/memory.py)
_LEAST_ROWS = 16  # that are timed
_SEEN = 20_000  # among which the longest is looked for
_CONTAINER = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


class Bench:
    """LLaMA Factory's trainer, ready to train."""

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer
        self._rows = trainer.train_dataset
        self._on_gpu = bool(next(trainer.model.parameters()).is_cuda)
        if trainer.args.use_cpu and not trainer.args.bf16:
            trainer.model.float()  # as runner.float32 does
        for callback in trainer.callback_handler.callbacks:
            if isinstance(callback, Fuse):
                callback.fuse(trainer.model)
        trainer.create_optimizer()
        trainer.model.train()
        self._model, trainer.optimizer = trainer.accelerator.prepare(trainer.model, trainer.optimizer)
        trainer.current_gradient_accumulation_steps = 1
        self._longest = max(_spread(len(self._rows), _SEEN), key=self._length)
        self.limit = SAFE * (torch.cuda.get_device_properties(0).total_memory if self._on_gpu else _memory())

    def run(self, way: Way) -> tuple[float, int]:
        """Seconds for a row, and the peak in bytes. Raises what the device raises where it does not fit."""
        self.clear()
        self._recompute(on=not way.kept)
        self._trainer._train_batch_size = way.batch  # noqa: SLF001 - as the trainer's own search for a batch does
        for batch in self._batches([self._longest] * way.batch):
            self._pass(batch)
        self._trainer.optimizer.step()
        self._trainer.optimizer.zero_grad(set_to_none=True)
        usual = _spread(len(self._rows), max(_LEAST_ROWS, way.batch * ceil(_LEAST_ROWS / way.batch)))
        batches = self._batches(usual)
        started = self._now()
        for batch in batches:
            self._pass(batch)
        return (self._now() - started) / len(usual), self._peak()

    def clear(self) -> None:
        """Forget the way before, also one that ran out of memory."""
        self._trainer.optimizer.zero_grad(set_to_none=True)
        gc.collect()
        if self._on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        else:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # VmHWM begins anew (proc(5))

    def _length(self, index: int) -> int:
        row = self._rows[index]
        return sum(len(row[key]) for key in row if key.endswith("input_ids"))

    def _pass(self, batch: Any) -> None:
        self._trainer.training_step(self._model, batch)

    def _batches(self, chosen: list[int]) -> list[Any]:
        """Collated beforehand: what is timed is the device's work."""
        rows = self._rows.select(chosen)
        self._trainer.train_dataset = rows
        self._trainer._get_train_sampler = lambda *_: SequentialSampler(rows)  # noqa: SLF001
        return list(self._trainer.get_train_dataloader())

    def _recompute(self, *, on: bool) -> None:
        """As LLaMA Factory does it (llamafactory/model/model_utils/checkpointing.py), whatever the model was loaded with."""
        from llamafactory.model.model_utils.checkpointing import get_custom_gradient_checkpointing_func

        base = self._trainer.model
        base = base.get_base_model() if hasattr(base, "get_base_model") else base
        base = getattr(base, "pretrained_model", base)
        function = get_custom_gradient_checkpointing_func(partial(checkpoint, use_reentrant=True))
        base._set_gradient_checkpointing(enable=on, gradient_checkpointing_func=function)  # noqa: SLF001
        base.config.use_cache = False

    def _now(self) -> float:
        if self._on_gpu:
            torch.cuda.synchronize()
        return time.perf_counter()

    def _peak(self) -> int:
        if self._on_gpu:
            return int(torch.cuda.max_memory_reserved() + _CONTEXT)
        status = Path("/proc/self/status").read_text(encoding="ascii")
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024


def _spread(rows: int, count: int) -> list[int]:
    """Indices of `count` rows, evenly over all; each once or, of few rows, several times."""
    return [index * rows // count for index in range(count)]


def _memory() -> float:
    """Bytes that the container, or the machine, lets this process have."""
    found = [float(psutil.virtual_memory().total)]
    for file in map(Path, _CONTAINER):
        text = file.read_text(encoding="ascii").strip() if file.exists() else "max"
        found += [float(text)] if text.isdigit() else []
    return min(found)
