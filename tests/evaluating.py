"""Runs with an evaluation for the tests: held-out rows on the storage, published folders, and a model that has learned the rows."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path
from typing import Any

from runner.evaluate.rows import Row
from runner.hashing import names_in, record, sha256_of
from runner.provenance import tags
from runner.publication import NAME, Publication
from runner.storage import Paths
from tests.runs import make_paths
from tools.formats.behaviour import Behaviour
from tools.formats.experiment import Passes
from tools.formats.lock import LockedDataset, LockedEvaluation

ROWS = Path(__file__).parent / "fixtures" / "runner" / "held-out.json"
STEPS, RATE = 60, 5e-3


def make_evaluated(root: Path, *, behaviours: dict[str, Behaviour] | None = None, **changes: Any) -> Paths:
    """A run that asks for an evaluation on the held-out rows; `changes` are those of LockedEvaluation, or `name` of the run."""
    name = changes.pop("name", "exp-001")
    paths = make_paths(root, name=name)
    file = paths.storage / "data" / "training-datasets" / "held-out.json"
    if not file.exists():
        shutil.copyfile(ROWS, file)
    data = {"name": "held-out", "path": file.name, "format": "alpaca", "ranking": False, "columns": {}, "tags": {}}
    fields: dict[str, Any] = {
        "datasets": [LockedDataset(**data, sha256=sha256_of(file), rows=13)],
        "metrics": ["exact_match", "rouge_l", "perplexity"],
        "behaviours": behaviours or {},
        "max_rows": 500,
        "max_new_tokens": 8,
        "time_limit_seconds": 600,
        "passes": Passes(),
    }
    return make_paths(root, name=name, evaluation=LockedEvaluation(**{**fields, **changes}))


def publish(paths: Paths, model: Path) -> None:
    """Put a model's files where a publisher puts them, with their record."""
    shutil.copytree(model, paths.merged)
    assert paths.lock.run.publish is not None
    Publication(
        version=1,
        run_id=paths.lock.run_id,
        run_sha256=paths.lock.sha256,
        model_name=paths.lock.run.publish.model_name,
        tags=tags(paths.lock),
        files=record(paths.merged, names_in(paths.merged)),
    ).write(paths.merged / NAME)


@functools.cache
def rows() -> tuple[Row, ...]:
    """The held-out rows that are no training rows, as LLaMA Factory reads them."""
    import json

    found = json.loads(ROWS.read_text(encoding="utf-8"))[1:]
    return tuple(Row((("user", f"{row['instruction']}\n{row['input']}"),), row["output"], "", "") for row in found)


def teach(model: Path, folder: Path) -> Path:
    """A copy of a model that has learned the held-out rows by heart: a few seconds of plain torch."""
    import torch
    from transformers import AutoModelForCausalLM

    from runner.evaluate.answering import Answering

    asking = Answering(model, "chatml", {}, "float32", gpu=False)
    pairs = [asking.encode(row) for row in rows()]
    width = max(len(prompt) + len(answer) for prompt, answer in pairs)
    ids = torch.zeros((len(pairs), width), dtype=torch.long)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    for line, (prompt, answer) in enumerate(pairs):
        end = len(prompt) + len(answer)
        ids[line, :end] = torch.tensor(prompt + answer)
        mask[line, :end] = 1
        labels[line, len(prompt) : end] = torch.tensor(answer)
    torch.manual_seed(0)
    learner = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    optimiser = torch.optim.AdamW(learner.parameters(), lr=RATE)
    for _ in range(STEPS):
        optimiser.zero_grad()
        learner(input_ids=ids, attention_mask=mask, labels=labels).loss.backward()
        optimiser.step()
    shutil.copytree(model, folder)
    learner.save_pretrained(folder)
    return folder
