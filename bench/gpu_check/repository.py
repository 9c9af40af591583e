"""A platform repository over a scratch storage, made by `ft`'s own commands: what is measured is what people get."""

from __future__ import annotations

import contextlib
import io
import json
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.gpu_check.machine import Machine
from bench.gpu_check.settings import Setting
from bench.measure import BenchError
from bench.options import ROOT
from tools.cli import main as ft
from tools.expand.yamltext import dump
from tools.formats.gpus import Gpus
from tools.plan.estimate import Plan
from tools.plan.planner import Planner
from tools.repository import Repository

TENANT, DATASET, THIS = "team-a", "rows", "this-machine"
ROWS = 4000
# Log-normal, as instruction data is: about 100 tokens in the mean, 1,400 in the longest row.
_MEDIAN_WORDS, _SPREAD, _MOST_WORDS = 45, 0.9, 900
_WORDS = (
    "account",
    "card",
    "loan",
    "transfer",
    "the",
    "branch",
    "failed",
    "since",
    "Monday",
    "please",
    "tell",
    "me",
    "why",
)


@dataclass(frozen=True, slots=True)
class Place:
    """root: the repository; storage: what its runs see; machine: what trains."""

    root: Path
    storage: Path
    machine: Machine

    @classmethod
    def make(cls, folder: Path, machine: Machine) -> Place:
        """An empty platform with one tenant and this machine's GPU."""
        root, storage = folder / "repository", folder / "storage"
        for name in ("environments", "catalog", f"tenants/{TENANT}"):
            (root / name).mkdir(parents=True)
        for name in ("environments/dev.yaml", "environments/platform.yaml", f"tenants/{TENANT}/tenant.yaml"):
            shutil.copyfile(ROOT / name, root / name)
        environment = Repository(ROOT).environment("dev")
        assert environment is not None
        data = environment.model_dump(mode="json", exclude_unset=True)
        _write(root / "environments" / "dev.yaml", {**data, "gpu": {**data["gpu"], "type": THIS}})
        types = Gpus(version=1, currency="PLN", gpus={THIS: machine.as_type})
        _write(root / "catalog" / "gpus.yaml", types.model_dump(mode="json"))
        (storage / "data" / "training-datasets").mkdir(parents=True)
        return cls(root, storage, machine)

    def add_model(self, name: str, folder: Path, template: str) -> None:
        """Take a model's folder over, by its name in the catalogue."""
        target = self.storage / "models" / "base-model" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if folder != target:
            shutil.copytree(folder, target)
        source = ["--source", f"example/{name}@{'0' * 40}", "--licence", "apache-2.0", "--template", template]
        _ft("model", "add", str(target), "--name", name, *source, "--repo", str(self.root))

    def add_rows(self, name: str, file: Path, model: str) -> None:
        """Take a dataset over, its lengths counted with the model's tokenizer."""
        options = ["--tenant", TENANT, "--name", name, "--model", model, "--storage", str(self.storage), "--copy"]
        _ft("dataset", "add", str(file), *options, "--replace", "--repo", str(self.root))

    def plan(self, name: str, model: str, setting: Setting, **train: Any) -> Plan:
        """Write the experiment and plan it. train: beside the setting's own."""
        experiment = {
            "version": 1,
            "description": setting.name,
            "owner": "anna.nowak",
            "model": model,
            "datasets": [train.pop("dataset", DATASET)],
            "method": setting.method,
            "train": {**setting.all_of, **train},
            "performance": setting.performance,
            "resources": {"gpus": int(self.machine.on_gpu), "nodes": 1, "time_limit": "8h"},
            "publish": {"model_name": name, "merge": True},
        }
        file = f"experiments/{TENANT}/{name}.yaml"
        (self.root / file).parent.mkdir(parents=True, exist_ok=True)
        _write(self.root / file, experiment)
        return Planner(Repository(self.root)).plan(file)


def write_rows(file: Path) -> None:
    """Rows whose lengths are spread as in instruction data: the same each time."""
    drawn = random.Random(8)
    rows = []
    for _ in range(ROWS):
        words = min(_MOST_WORDS, max(4, round(drawn.lognormvariate(0, _SPREAD) * _MEDIAN_WORDS)))
        rows.append(
            {"instruction": " ".join(drawn.choices(_WORDS, k=10)), "output": " ".join(drawn.choices(_WORDS, k=words))}
        )
    file.write_text(json.dumps(rows), encoding="utf-8")


def _write(file: Path, data: Any) -> None:
    file.write_text(dump(data), encoding="utf-8")


def _ft(*arguments: str) -> None:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = ft(arguments)
    if code != 0:
        raise BenchError(f"ft {' '.join(arguments)} ended with {code}: {said.getvalue()}")
