"""Trains the tiny model in each stage and with each method, through the runner's own parts, in one process: `python -m tests.stages ROOT`.

Importing LLaMA Factory takes ten times as long as one of these trainings. MLflow is left out: sending is a process of its own, and
each costs as much again. Prints a JSON line for each run: {stage, method, steps, loss, files, failure}.
"""

from __future__ import annotations

import json
import shutil
import sys
from itertools import product
from pathlib import Path
from typing import Any

from runner import checkpoints, completion, failures, result, saving, trainer
from runner.budget import Budget
from runner.hashing import sha256_of
from runner.signals import Sigterm
from runner.spool import Spool
from runner.storage import Paths, scratch_folder
from tests.runs import make_lock, make_storage
from tools.formats.lock import LockedDataset

STAGES = ("sft", "pt", "dpo", "kto", "rm")
METHODS = ("lora", "qlora", "full")
STEPS = 2
GOOD = Path(__file__).parent / "fixtures" / "datasets" / "good"
_PAIRS = {"prompt": "instruction", "query": "input", "chosen": "chosen", "rejected": "rejected"}
# Stage -> file, LLaMA Factory's columns, whether it holds pairs.
DATA: dict[str, tuple[str, dict[str, str], bool]] = {
    "sft": ("alpaca.json", {}, False),
    "pt": ("pretrain.jsonl", {"prompt": "text"}, False),
    "dpo": ("preference_alpaca.json", _PAIRS, True),
    "rm": ("preference_alpaca.json", _PAIRS, True),
    "kto": ("kto.jsonl", {"prompt": "prompt", "response": "completion", "kto_tag": "label"}, False),
}


def run_of(storage: Path, stage: str, method: str, **settings: Any) -> Paths:
    """A run of that stage and method on the storage."""
    name, columns, ranking = DATA[stage]
    file = storage / "data" / "training-datasets" / name
    shutil.copyfile(GOOD / name, file)
    dataset = LockedDataset(
        name=f"{stage}-rows", path=name, format="alpaca", ranking=ranking, columns=columns, tags={},
        sha256=sha256_of(file), rows=2,
    )  # fmt: skip
    how: dict[str, Any] = {"finetuning_type": "full" if method == "full" else "lora"}
    how |= {"quantization_bit": 4} if method == "qlora" else {}
    common = {"stage": stage, "max_steps": STEPS, "per_device_train_batch_size": 2, **how, **settings}
    return Paths(storage, make_lock(storage, settings=common, datasets=[dataset]))


def train(paths: Paths) -> dict[str, Any]:
    """What the run left, or why it failed."""
    from runner.callback import RunCallback

    checkpoints.prepare(paths.checkpoints)
    budget, sigterm = Budget(paths.checkpoints, 1, 600), Sigterm()
    spool = Spool(paths.checkpoints)
    keeper = saving.Keeper(paths, spool, budget, sigterm, lambda: None)
    try:
        with scratch_folder() as scratch, saving.guarded(keeper):
            callback = RunCallback(paths, spool, budget, sigterm)
            trainer.train(paths, scratch, None, callback, sigterm)
        result.complete(paths, result.gather(paths), callback.state, callback.rows, budget)
    except Exception as error:  # noqa: BLE001 - the failure is what is reported
        failure = failures.explain(error, paths)
        return {"failure": f"{failure.exit_code} {failure.code}: {failure.cause}"}
    finally:
        spool.close()
    proof = completion.check(paths).completion
    assert proof is not None
    return {"steps": proof.steps_done, "loss": proof.metrics.get("train_loss"), "files": sorted(proof.files)}


def main(root: Path) -> None:
    """All of them."""
    storage = make_storage(root / "storage")
    trainer.prepare(root)
    for stage, method in product(STAGES, METHODS):
        print(json.dumps({"stage": stage, "method": method, **train(run_of(storage, stage, method))}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
