"""Training on a CPU computes in float32, whatever type the base model is stored in.

LLaMA Factory loads the base in its stored type and has no setting for another one while it trains. CPUs without bf16
instructions multiply bf16 matrices one element at a time: torch 2.11 on AVX2 does 7 GFLOP/s in bf16 and 110 in float32.
The merge is not affected: it loads the stored weights again.
"""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class Float32OnCpu(TrainerCallback):  # type: ignore[misc]  # transformers is absent where mypy runs
    """Widens the model's parameters in place before the first step, unless the experiment asks for bf16."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """The optimizer keeps its parameters: only their data is replaced, and trainable ones are float32 already."""
        del state, control
        if args.use_cpu and not args.bf16:
            kwargs["model"].float()
