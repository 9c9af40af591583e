"""What the runner does while LLaMA Factory trains: progress, metrics, sealed checkpoints, SIGTERM and the time limit.

Imported only after transformers.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from runner import checkpoints, exposition, nvml
from runner.budget import Budget
from runner.events import emit
from runner.exits import TimeLimit
from runner.progress import Progress, metrics
from runner.rows import report_rows
from runner.signals import Sigterm, stopped
from runner.spool import Spool
from runner.stall import WATCH
from runner.storage import Paths

GIB = 2**30


class RunCallback(TrainerCallback):  # type: ignore[misc]  # transformers is absent where mypy runs
    """Sees every step. Afterwards `state` is the trainer's last state and `rows` what reached training."""

    def __init__(self, paths: Paths, spool: Spool, budget: Budget, sigterm: Sigterm) -> None:
        self._paths = paths
        self._spool = spool
        self._budget = budget
        self._sigterm = sigterm
        self._progress = Progress(paths.checkpoints)
        exposition.serve(paths.lock, lambda: self._progress.latest)
        self._unkept: Path | None = None
        self._sealed: str | None = None
        self._process = psutil.Process()
        self._on_gpu = torch.cuda.is_available()
        self.state: Any = None
        self.rows: int | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Count the rows that LLaMA Factory kept and start the clock."""
        del control
        self._sigterm.patient = True
        self.state = state
        self.rows = report_rows(self._paths.lock, kwargs["train_dataloader"].dataset)
        self._spool.append("tags", tags={"rows_trained": str(self.rows), "steps_planned": str(state.max_steps)})
        self._progress.samples = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
        self._progress.begin(state.global_step, state.max_steps, state.num_input_tokens_seen)
        emit("start", run_id=self._paths.lock.run_id, step=state.global_step, steps=state.max_steps)

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """The callbacks of stage rm still rewrite a checkpoint after `on_save`, so it is sealed here."""
        del args, state, control, kwargs
        WATCH.beat("step")
        self._seal()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Ask for a checkpoint and the end where SIGTERM or the time limit wants them."""
        del args, kwargs
        WATCH.beat("step", state.global_step)
        self._progress.step_ended()
        if self._progress.due and not control.should_log:
            self._report(state)
        if self._must_stop(state):
            control.should_save = True
            control.should_training_stop = True
            control.should_evaluate = False

    def on_substep_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """A batch of a step with several."""
        del args, state, control, kwargs
        WATCH.beat("step")

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """A batch of an evaluation."""
        del args, state, control, kwargs
        WATCH.beat("evaluation")

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Metrics go to the spool and to the progress line."""
        del args, control, kwargs
        values = metrics(logs or {})
        if not values:
            return
        self._progress.rates |= {
            name: values[name] for name in ("loss", "learning_rate", "grad_norm") if name in values
        }
        figures = self._report(state)
        progress = {f"progress/{name}": value for name, value in figures.items()}
        epoch = {"epoch": float(state.epoch)} if state.epoch is not None else {}
        self._spool.append("metrics", step=state.global_step, values={**values, **epoch, **progress})

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Tell of the checkpoint; one that is still where the trainer wrote it is kept at the next step."""
        del control, kwargs
        name = f"checkpoint-{state.global_step}"
        self._unkept = Path(args.output_dir) / name
        if not self._unkept.exists():
            self._seal()

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Leave before an evaluation at the end of the epoch begins."""
        del args, kwargs, control
        self._leave(state)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Leave before LLaMA Factory writes a half-trained result."""
        del args, control, kwargs
        self.state = state
        self._leave(state)

    def _leave(self, state: TrainerState) -> None:
        """Raises Stopped or TimeLimit when that is why training ends; a finished run has neither."""
        self._seal()
        if state.global_step >= state.max_steps or self._sealed != f"checkpoint-{state.global_step}":
            return
        if self._sigterm.received:
            raise stopped(self._sealed)
        if self._budget.exhausted:
            raise TimeLimit(
                f"{self._budget.used:.0f} s used at step {state.global_step} of {state.max_steps}; allowed: "
                f"{self._budget.limit} s (resources.time_limit); {self._sealed} is kept",
                "raise `attempt` in the experiment to go on from there with the same limit again",
            )

    def _must_stop(self, state: TrainerState) -> bool:
        return state.global_step < state.max_steps and (self._sigterm.received or self._budget.exhausted)

    def _seal(self) -> None:
        if self._unkept is None:
            return
        if self._unkept.exists():
            checkpoints.keep(self._unkept, self._paths.checkpoints, self._paths.lock.sha256)
        self._sealed, self._unkept = self._unkept.name, None
        emit("checkpoint", path=str(self._paths.checkpoints / self._sealed), step=self.state.global_step)

    def _report(self, state: TrainerState) -> dict[str, float]:
        self._budget.tick()
        return self._progress.report(state.global_step, state.epoch, state.num_input_tokens_seen, self._memory())

    def _memory(self) -> dict[str, float]:
        memory = {"memory_gib": round(self._process.memory_info().rss / GIB, 3)}
        if self._on_gpu:
            memory["gpu_memory_gib"] = round(torch.cuda.max_memory_reserved() / GIB, 3)
        if readings := nvml.readings():
            memory["gpu_memory_used_gib"] = round(max(each.used for each in readings) / GIB, 3)
        if busy := [each.busy for each in readings if each.busy is not None]:
            memory["gpu_utilisation_percent"] = round(100 * sum(busy) / len(busy), 1)
        return memory
