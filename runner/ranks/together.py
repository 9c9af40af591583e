"""All ranks do the same at the same step: what rank 0 decides, and what a signal tells any of them.

Imported only after transformers.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from runner.exits import Stopped
from runner.ranks import gang
from runner.signals import Sigterm


def join(resume: Path | None, sigterm: Sigterm) -> Together:
    """This rank's callback. Rank 0 lets the others know which checkpoint it chose."""
    own = gang.mine()
    if own.first:
        own.tell("resume", str(resume or ""))
    torch.serialization.register_package(0, lambda _: None, _on_the_cpu)
    return Together(sigterm, first=own.first)


def _on_the_cpu(storage: Any, location: str) -> Any:
    """A resumed rank without a GPU asks for its optimiser on `cpu:0`, a place that torch.load has no reader for."""
    return storage if location.startswith("cpu:") else None


class Together(TrainerCallback):  # type: ignore[misc]  # transformers is absent where mypy runs
    """Comes after rank 0's own callback, and alone on the other ranks.

    The flags travel over gloo and not over the GPUs: a GPU's answer would make the processor wait for the whole step.
    """

    def __init__(self, sigterm: Sigterm, *, first: bool) -> None:
        self._sigterm = sigterm
        self._first = first
        self._group: Any = None
        self._leaving = False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Every rank is there; from here on SIGTERM waits for the end of a step."""
        del state, control, kwargs
        self._group = distributed.new_group(backend="gloo", timeout=timedelta(seconds=args.ddp_timeout))
        self._sigterm.patient = True

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """One small all-reduce: whoever wants to stop, save or log makes all of them do it."""
        del args, kwargs
        flags = torch.tensor(
            [self._sigterm.received, control.should_training_stop, control.should_save, control.should_log]
        ).int()
        distributed.all_reduce(flags, distributed.ReduceOp.MAX, self._group)
        signalled, stop, save, log = (bool(flag) for flag in flags.tolist())
        if signalled:
            self._sigterm.hear()
        early = state.global_step < state.max_steps
        self._leaving = early and (stop or signalled)
        control.should_log |= log
        control.should_save |= save or self._leaving
        if self._leaving:
            control.should_training_stop = True
            control.should_evaluate = False

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Leave before what the end of an epoch asks for, as rank 0 does."""
        del args, state, control, kwargs
        self._leave()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Leave before LLaMA Factory writes a half-trained result."""
        del args, state, control, kwargs
        self._leave()

    def _leave(self) -> None:
        """Rank 0 leaves by its own callback, and says why; the others go with it. Raises Stopped."""
        if self._leaving and not self._first:
            raise Stopped("rank 0 stopped the training", "see what rank 0 says")
