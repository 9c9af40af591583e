"""Copies freshly tokenised rows to the storage beside the training, in a thread: a slow storage then costs no step.

Imported only after transformers.
"""

from __future__ import annotations

import threading
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from runner import tokenised
from runner.storage import Paths
from runner.tokenised import Cache

LAST_SECONDS = 20.0  # after training; a copy that takes longer is left for another start


class KeepTokenised(TrainerCallback):  # type: ignore[misc]  # transformers is absent where mypy runs
    """By the first step LLaMA Factory has written the rows."""

    def __init__(self, paths: Paths, cache: Cache) -> None:
        self._paths = paths
        self._cache = cache
        self._thread: threading.Thread | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start to copy."""
        del args, state, control, kwargs
        if self._cache.new and self._cache.path is not None and self._cache.path.is_dir():
            copying = (self._paths, self._cache.path)
            self._thread = threading.Thread(target=tokenised.keep, args=copying, name="tokenised", daemon=True)
            self._thread.start()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """The scratch folder goes with the process."""
        del args, state, control, kwargs
        if self._thread is not None:
            self._thread.join(LAST_SECONDS)
