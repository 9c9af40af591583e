"""Makes what both trainings need, in the runner's environment: `training_files.py DEMO_STORAGE WORK STEPS`.

The demo's experiment becomes a lock for `python -m runner` and the same settings for `llamafactory-cli`, twice: WORK/run.yaml
and WORK/bare.yaml with STEPS steps, a log line in ten and a checkpoint in twenty; WORK/resume.yaml and WORK/bare-resume.yaml
with a few steps, a log line each, to be killed and resumed (WORK/bare-resumed.yaml). Data and base model are the demo's, the
model in float32: the runner widens a bf16 model where it trains on a CPU and LLaMA Factory does not, which would be compared
instead.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

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
LONG = {"logging_steps": 10, "logging_first_step": True, "save_steps": 20}
SHORT = {"logging_steps": 1, "max_steps": 8, "save_steps": 4}
# What the runner adds to the lock's settings beyond paths and names is its share, so the bare training goes without it.
RUNNERS_OWN = ("include_num_input_tokens_seen", "run_name", "logging_nan_inf_filter", "save_total_limit")


def main(demo: Path, work: Path, steps: int) -> None:
    """Write all files."""
    repository = Repository(ROOT)
    lock = resolve(repository, "team-a", "exp-001", repository.experiment(EXPERIMENT))
    storage = work / "storage"
    model = lay_out(lock, demo, storage)
    for name, changes in (("", {**LONG, "max_steps": steps}), ("resume", SHORT)):
        changed = shortened(lock, model, changes)
        (work / f"{name or 'run'}.yaml").write_text(dump(changed.model_dump(mode="json")))
        bare(Paths(storage, changed), work, f"bare-{name}" if name else "bare")


def lay_out(lock: Lock, demo: Path, storage: Path) -> Path:
    """Put the lock's model, in float32, and its data on a storage; the model's folder there."""
    model = Path("models/base-model") / lock.run.model.path
    widen(demo / model, storage / model)
    for dataset in lock.run.datasets:
        target = storage / "data" / "training-datasets" / dataset.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / "demo" / "data" / target.name, target)
    return storage / model


def bare(paths: Paths, work: Path, name: str) -> None:
    """The same run for LLaMA Factory alone, and that run again from its checkpoint."""
    settings = {key: value for key, value in arguments(paths, work, None).items() if key not in RUNNERS_OWN}
    settings |= {key: value for key, value in paths.lock.run.settings.items() if key == "save_total_limit"}
    settings["output_dir"] = str(paths.storage / "output" / name)
    (work / f"{name}.yaml").write_text(yaml.safe_dump(settings))
    if paths.lock.run.settings["save_steps"] == SHORT["save_steps"]:
        checkpoint = f"{settings['output_dir']}/checkpoint-{SHORT['save_steps']}"
        (work / f"{name}d.yaml").write_text(yaml.safe_dump({**settings, "resume_from_checkpoint": checkpoint}))
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


def shortened(lock: Lock, model: Path, changes: dict[str, Any]) -> Lock:
    """The lock for the wider model, with some settings changed."""
    settings = {**lock.run.settings, **changes}
    wider = lock.run.model.model_copy(update={"dtype": "float32", "files": record(model, names_in(model))})
    run = lock.run.model_copy(update={"settings": settings, "model": wider})
    return seal(run, attempt=1, state="active", authorized=None)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
