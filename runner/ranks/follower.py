"""What every rank but the first does: the same training, and nothing that others could see."""

from __future__ import annotations

from pathlib import Path

from runner import prechecks, saving, trainer
from runner.ranks import gang
from runner.signals import Sigterm
from runner.storage import Paths


def follow(paths: Paths, sigterm: Sigterm) -> None:
    """Train beside rank 0, from the checkpoint that it chose. Raises what LLaMA Factory raises."""
    prechecks.gpus(paths.lock)
    scratch = gang.shared_folder()
    trainer.prepare(scratch)
    import llamafactory.train.tuner  # noqa: F401 - most of the start, while rank 0 reads its checkpoints

    resume = gang.mine().ask("resume")
    with saving.guarded(None):
        trainer.train(paths, scratch, Path(resume) if resume else None, None, sigterm)
