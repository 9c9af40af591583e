"""Around the trainer's own writing of a checkpoint: moved in whole, old ones removed after it, and a failing storage borne.

The trainer has no hook before it writes or when that fails, so `guarded` replaces one method of it for a while. Writing a
checkpoint changes nothing in the training, hence it can be written again: what was half written is thrown away, old ones make
room, and the storage gets a while to come back.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runner import checkpoints, failures, symptoms
from runner.budget import Budget
from runner.events import emit, message
from runner.exits import Retry
from runner.settings import STORAGE_WAIT, seconds
from runner.signals import Sigterm, stopped
from runner.spool import Spool
from runner.stall import WATCH
from runner.storage import Paths, mounted

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
STATE = "trainer_state.json"


class Keeper:
    """Puts the checkpoints of one run in their place. `confirm` raises when the run's folder is not this process's any more."""

    def __init__(
        self, paths: Paths, spool: Spool, budget: Budget, sigterm: Sigterm, confirm: Callable[[], None]
    ) -> None:
        self._paths = paths
        self.spool = spool
        self.budget = budget
        self.sigterm = sigterm
        self.confirm = confirm
        self._patience = seconds(STORAGE_WAIT)
        # Stage rm: callbacks of LLaMA Factory rewrite a checkpoint after it was saved; RunCallback keeps it later.
        self._at_once = paths.lock.run.settings["stage"] != "rm"

    def save(self, write: Callable[[], None], name: str, *, alone: bool = True) -> None:
        """Write the checkpoint `name` and keep it; where the storage fails, make room, wait and write again.

        alone: whether this is the only process of the training. Of several, one cannot write again by itself.

        Raises:
            Retry: the storage failed for longer than the environment allows, or SIGTERM came meanwhile.
        """
        WATCH.beat("checkpoint")
        end, pause = time.monotonic() + (self._patience if alone else 0.0), FIRST_PAUSE
        while True:
            try:
                write()
                if self._at_once:
                    self.keep(name)
            except Exception as error:
                failure = failures.explain(error, self._paths)
                if not isinstance(failure, Retry) or failure is error:
                    raise
                if self._made_room(name):
                    continue
                self._give_up(failure, error, end)
                message(f"{failure.cause}; {self._last()}, trying again in {pause:.0f} s")
                self._sleep(min(pause, max(0.0, end - time.monotonic())))
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                return

    def keep(self, name: str) -> None:
        """Move a written checkpoint to its place. The metrics up to its step are on the disk before it is."""
        self.confirm()
        self.spool.sync()
        written = self._paths.writing / name
        _relocate(written / STATE, self._paths.checkpoints)
        place = checkpoints.keep(written, self._paths.checkpoints, self._paths.lock.sha256)
        limit = self._paths.lock.run.settings.get("save_total_limit")
        if isinstance(limit, int):
            checkpoints.prune(self._paths.checkpoints, limit, _best(place / STATE))
        self.budget.save()

    def _made_room(self, name: str) -> bool:
        """Throw the half-written one away; where the disk is full, also all that a resumed run does not need."""
        full = symptoms.full(mounted(self._paths.checkpoints))
        folder = self._paths.checkpoints
        try:
            best = _best(self._paths.writing / name / STATE)
            shutil.rmtree(self._paths.writing / name, ignore_errors=True)
            freed = [*checkpoints.remove_damaged(folder), *checkpoints.prune(folder, 1, best)] if full else []
        except OSError:
            return False
        if freed:
            message(f"{folder}: no space left for {name}: removed {', '.join(freed)}; {self._last()}")
            emit("freed", checkpoints=freed, path=str(folder))
        return bool(freed)

    def _give_up(self, failure: Retry, error: Exception, end: float) -> None:
        if self.sigterm.received:
            raise stopped(checkpoints.last(self._paths.checkpoints)) from error
        if self.budget.exhausted or time.monotonic() >= end:
            waited = f" for {self._patience:.0f} s" if self._patience else ""
            raise Retry(f"{failure.cause}{waited}; {self._last()}", failure.remedy, code=failure.code) from error

    def _last(self) -> str:
        kept = checkpoints.last(self._paths.checkpoints)
        return f"{kept} is kept" if kept else "there is no checkpoint yet"

    def _sleep(self, pause: float) -> None:
        end = time.monotonic() + pause
        while time.monotonic() < end and not self.sigterm.received:
            WATCH.beat("storage")
            time.sleep(min(0.2, pause))


@contextmanager
def guarded(keeper: Keeper | None) -> Iterator[None]:
    """While this is open every checkpoint of the transformers trainer, and of those built on it, goes through the keeper.

    keeper: None on every rank but the first.
    """
    import torch.distributed as dist
    from transformers import Trainer

    original = Trainer._save_checkpoint  # noqa: SLF001 - see above

    def save(trainer: Any, model: Any, trial: Any) -> None:
        several = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
        name = f"checkpoint-{trainer.state.global_step}"

        def write() -> None:
            original(trainer, model, trial)
            if several:
                dist.barrier()  # every process writes into the folder that is moved next

        if keeper is not None:
            keeper.save(write, name, alone=not several)
        else:
            write()
        best = trainer.state.best_model_checkpoint
        if best is not None:  # it was where it was written, and is where it is kept
            trainer.state.best_model_checkpoint = str(Path(trainer.args.output_dir).parent / Path(best).name)

    Trainer._save_checkpoint = save  # noqa: SLF001
    try:
        yield
    finally:
        Trainer._save_checkpoint = original  # noqa: SLF001


def _relocate(state: Path, folder: Path) -> None:
    """The trainer notes where the best checkpoint was written; a resumed run looks for it where it is kept."""
    best = _best(state)
    if best is not None:
        content = json.loads(state.read_text(encoding="utf-8"))
        content["best_model_checkpoint"] = str(folder / best)
        state.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _best(state: Path) -> str | None:
    """Name of the best checkpoint so far, as a checkpoint's trainer_state.json says; None without evaluation."""
    try:
        best = json.loads(state.read_text(encoding="utf-8")).get("best_model_checkpoint")
    except (OSError, ValueError):
        return None
    return Path(best).name if best else None
