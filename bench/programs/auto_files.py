"""Makes the locks of one experiment as written and under `performance: auto`: `auto_files.py DEMO_STORAGE WORK`, in the runner's environment.

The experiment is the demo's data and model with the batch of LLaMA Factory's published examples: one row, eight accumulated, each
layer computed twice. WORK/as-written.yaml and WORK/auto.yaml; the model is in float32, which the runner trains in on a CPU.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.programs.training_files import EXPERIMENT, LONG, ROOT, lay_out, shortened
from tools.expand.yamltext import dump
from tools.formats.experiment import Experiment
from tools.formats.lock import Lock
from tools.repository import Repository
from tools.resolve import resolve

PUBLISHED: dict[str, Any] = {
    "per_device_train_batch_size": 1,
    "gradient_accumulation_steps": 8,
    "num_train_epochs": 1,
    "cutoff_len": 2048,
    "disable_gradient_checkpointing": None,
    "train_sampling_strategy": None,
    "max_steps": None,
    "save_steps": None,
}


def main(demo: Path, work: Path) -> None:
    """Write both locks, and the model and data that they name."""
    written, auto = lock("as-written"), lock("auto")
    model = lay_out(written, demo, work / "storage")
    for name, found in (("as-written", written), ("auto", auto)):
        changed = shortened(found, model, {**LONG, "save_steps": 1000})
        (work / f"{name}.yaml").write_text(dump(changed.model_dump(mode="json")))


def lock(performance: str) -> Lock:
    """The experiment's lock."""
    repository = Repository(ROOT)
    parsed = repository.experiment(EXPERIMENT)
    assert parsed.value is not None
    train = {key: found for key, found in {**parsed.value.train, **PUBLISHED}.items() if found is not None}
    changed = Experiment.model_validate(
        {**parsed.value.model_dump(exclude_unset=True), "train": train, "performance": performance}
    )
    return resolve(repository, "team-a", "exp-001", replace(parsed, value=changed))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
