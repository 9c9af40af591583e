"""Ends a training whose loss or weights are no numbers, or whose loss exploded, and keeps the checkpoint from before.

On every rank: the logged loss is the mean over all of them, so that they all leave at the same place. Imported only after torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from runner import divergence
from runner.events import message
from runner.exits import Diverged
from tools.causes import CAUSES


class Guard(TrainerCallback):  # type: ignore[misc]  # transformers is absent where mypy runs
    """stage: of the run. Raises Diverged out of the trainer, before it writes a checkpoint.

    Every checkpoint is preceded by a log: the loss since the last one is then judged first, and a resumed run logs the same
    losses as one that was never interrupted, since the trainer forgets on its way out what it had summed up.
    """

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._vocabulary: int | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Look the vocabulary's size up."""
        del args, state, control
        config = getattr(kwargs.get("model"), "config", None)
        self._vocabulary = getattr(config.get_text_config(), "vocab_size", None) if config is not None else None

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Before a checkpoint: ask for a log, and look at the weights."""
        self._before_saving(args, state, control, **kwargs)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """The same for checkpoints of whole epochs."""
        self._before_saving(args, state, control, **kwargs)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """The result is looked at too, with or without a last checkpoint."""
        del args, control
        self._look_at(kwargs.get("model"), state)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Judge the loss."""
        del args, kwargs
        loss = (logs or {}).get("loss")
        if loss is None:
            return
        if not math.isfinite(loss):
            raise _nan(f"the loss is {loss} at step {state.global_step}", state)
        most = divergence.limit(state.log_history, self._stage, self._vocabulary)
        high = divergence.above(state.log_history, most) if most is not None else 0
        if most is not None and high == divergence.IN_A_ROW:
            raise Diverged(
                f"the last {high} logged losses are above {most:.4g}, the newest is {loss:.4g} at step {state.global_step}",
                CAUSES["exploding-loss"].remedy,
                code="exploding-loss",
                step=state.global_step,
                loss=loss,
                limit=most,
            )
        if high and control.should_save and not control.should_training_stop:
            control.should_save = False
            message(f"no checkpoint at step {state.global_step}: the loss {loss:.4g} is above {most:.4g}")

    def _before_saving(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        del args
        if control.should_save:
            control.should_log = True
            self._look_at(kwargs.get("model"), state)

    def _look_at(self, model: Any, state: TrainerState) -> None:
        if model is not None and not finite(model.parameters()):
            raise _nan(f"a trained weight is no number any more after step {state.global_step}", state)


def finite(parameters: Iterable[Any]) -> bool:
    """Whether every trained weight is a number.

    Sums are looked at: a weight that is no number makes its tensor's sum none, and a sum needs no second tensor as large as the
    weights. Of weights that are spread over ranks (DTensor) each rank looks at its own part.
    """
    mine = (getattr(each, "_local_tensor", each).detach() for each in parameters if each.requires_grad)
    sums = [each.sum(dtype=torch.float32) for each in mine if each.numel()]
    return not sums or bool(torch.stack([each.to(sums[0].device) for each in sums]).isfinite().all())


def _nan(found: str, state: TrainerState) -> Diverged:
    return Diverged(found, CAUSES["nan-loss"].remedy, code="nan-loss", step=state.global_step)
