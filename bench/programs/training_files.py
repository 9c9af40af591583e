"""Makes what both trainings need, in the runner's environment: `training_files.py DEMO_STORAGE WORK STEPS`.

The demo's experiment with few steps becomes WORK/run.yaml (a lock, for `python -m runner`) and WORK/bare.yaml (the same
settings, for `llamafactory-cli`), over the demo's data and its base model in float32: the runner widens a bf16 model where
it trains on a CPU and LLaMA Factory does not, which would be compared instead.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import yaml
from safetensors.torch import load_file, save_file

from runner.hashing import names_in, record
from runner.storage import Paths
from runner.trainer import arguments, dataset_info
from tools.expand.yamltext import dump
from tools.formats.lock import Lock, seal
from tools.repository import Repository
from tools.resolve import resolve

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENT = "experiments/team-a/exp-001.yaml"
CHECKPOINT = 15
# What the runner adds to the lock's settings beyond paths and names is its share, so the bare training goes without it.
RUNNERS_OWN = ("include_num_input_tokens_seen", "run_name")


def main(demo: Path, work: Path, steps: int) -> None:
    """Write all files."""
    repository = Repository(ROOT)
    lock = resolve(repository, "team-a", "exp-001", repository.experiment(EXPERIMENT))
    storage = work / "storage"
    model = Path("models/base-model") / lock.run.model.path
    widen(demo / model, storage / model)
    for dataset in lock.run.datasets:
        target = storage / "data" / "training-datasets" / dataset.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / "demo" / "data" / target.name, target)
    lock = shortened(lock, storage / model, steps)
    (work / "run.yaml").write_text(dump(lock.model_dump(mode="json")))
    paths = Paths(storage, lock)
    settings = {key: value for key, value in arguments(paths, work, None).items() if key not in RUNNERS_OWN}
    (work / "bare.yaml").write_text(yaml.safe_dump({**settings, "output_dir": str(storage / "output" / "bare")}))
    (work / "dataset_info.json").write_text(json.dumps(dataset_info(paths)))


def widen(source: Path, target: Path) -> None:
    """Copy a model folder with its weights in float32."""
    shutil.copytree(source, target)
    tensors = load_file(source / "model.safetensors")
    save_file(
        {name: tensor.float() for name, tensor in tensors.items()}, target / "model.safetensors", {"format": "pt"}
    )
    config = json.loads((source / "config.json").read_text())
    config.pop("dtype", None)
    (target / "config.json").write_text(json.dumps({**config, "torch_dtype": "float32"}, indent=1))


def shortened(lock: Lock, model: Path, steps: int) -> Lock:
    """The lock for the wider model, with `steps` steps, a line in the log for each, and a checkpoint."""
    settings = {**lock.run.settings, "max_steps": steps, "logging_steps": 1, "save_steps": CHECKPOINT}
    wider = lock.run.model.model_copy(update={"dtype": "float32", "files": record(model, names_in(model))})
    run = lock.run.model_copy(update={"settings": settings, "model": wider})
    return seal(run, attempt=1, state="active", authorized=None)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
