"""Writes a repository with any number of experiments: valid, no two alike, the same bytes for the same number.

The files come from `bench/templates/`, where each `$name` is a place that is filled in; base/ is this repository's own.
"""

from __future__ import annotations

import hashlib
import random
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from string import Template

ROOT = Path(__file__).resolve().parent.parent
TEMPLATES = ROOT / "bench" / "templates"
EXPERIMENTS_PER_TENANT = 200
DATASETS = 10
MODELS = 4


def write(root: Path, experiments: int) -> None:
    """Make the repository in `root`, which must not exist: `experiments` experiments, a tenant for each 200 of them."""
    for folder in ("catalog", "environments"):
        shutil.copytree(TEMPLATES / folder, root / folder)
    shutil.copytree(ROOT / "base", root / "base")
    for number in range(MODELS):
        _write(root / f"catalog/models/{_model(number)}.yaml", "model", _model_values(number))
    for start in range(0, experiments, EXPERIMENTS_PER_TENANT):
        _tenant(root, start // EXPERIMENTS_PER_TENANT, range(start, min(start + EXPERIMENTS_PER_TENANT, experiments)))


def _tenant(root: Path, number: int, experiments: range) -> None:
    tenant = f"team-{number:02d}"
    models = ", ".join(_model(model) for model in range(MODELS))
    _write(
        root / f"tenants/{tenant}/tenant.yaml", "tenant", {"number": number, "models": models, "uid": 10001 + number}
    )
    for index in range(DATASETS):
        values = _dataset_values(f"{tenant} {index}", index)
        _write(root / f"tenants/{tenant}/datasets/{values['name']}.yaml", "dataset", values)
    for experiment in experiments:
        values = _experiment_values(tenant, number, experiment)
        _write(root / f"experiments/{tenant}/{values['name']}.yaml", "experiment", values)


def _experiment_values(tenant: str, tenant_number: int, number: int) -> dict[str, object]:
    chance = random.Random(number)
    method = chance.choices(("lora", "qlora", "full"), (6, 3, 1))[0]
    name = f"exp-{number:05d}"
    return {
        "tenant": tenant,
        "name": name,
        "description": f"Answers questions of kind {number}",
        "owner": chance.choice(("anna.nowak", "jan.kowalski", f"member.{tenant_number}")),
        "environment": chance.choice(("dev", "prod")),
        "model": _model(chance.randrange(MODELS)),
        "datasets": ", ".join(
            f"answers-{index}" for index in sorted(chance.sample(range(DATASETS), chance.randint(1, 3)))
        ),
        "method": method,
        "train": "\n".join(f"  {line}" for line in _train(chance, method, number)),
        "gpus": chance.choice((1, 2, 4, 8)),
        "time_limit": f"{chance.randint(1, 40)}h",
        "priority": chance.choice(("low", "normal")),
        "model_name": f"assistant-{number:05d}",
        "merge": chance.choice(("true", "true", "false")),
    }


def _train(chance: random.Random, method: str, number: int) -> Iterator[str]:
    if method != "full":
        rank = chance.choice((4, 8, 16, 32, 64))
        yield f"lora_rank: {rank}"
        yield f"lora_alpha: {rank * 2}                    # twice the rank"
        yield f"lora_target: {chance.choice(('all', 'q_proj,v_proj', 'gate_proj,up_proj,down_proj'))}"
    if method == "qlora":
        yield "quantization_bit: 4"
    yield f"learning_rate: {chance.randint(1, 90) / 10}e-5"
    yield f"lr_scheduler_type: {chance.choice(('cosine', 'linear', 'constant_with_warmup'))}"
    yield f"warmup_ratio: 0.{chance.randint(1, 9):02d}"
    yield f"num_train_epochs: {chance.randint(1, 5)}"
    yield f"per_device_train_batch_size: {chance.choice((1, 2, 4, 8))}"
    yield f"gradient_accumulation_steps: {chance.choice((1, 2, 4, 8))}"
    yield f"cutoff_len: {chance.choice((512, 1024, 2048, 4096))}               # in tokens"
    if chance.random() < 0.3:
        yield f"max_grad_norm: {chance.randint(1, 9) / 10}"
    if chance.random() < 0.3:
        yield f"weight_decay: 0.0{chance.randint(1, 9)}"
    yield f"logging_steps: {chance.choice((5, 10, 20))}"
    yield f"save_steps: {chance.randint(20, 400)}"
    yield f"seed: {number}"


def _model(number: int) -> str:
    return f"llama-135m-{number}"


def _model_values(number: int) -> dict[str, object]:
    hashes = {f"hash_{letter}": _sha256(f"model {number} {letter}") for letter in "abcde"}
    return {"number": number, "name": _model(number), "revision": _sha256(f"revision {number}")[:40], **hashes}


def _dataset_values(key: str, index: int) -> dict[str, object]:
    rows = random.Random(key).randint(2000, 50_000)
    return {
        "number": index,
        "name": f"answers-{index}",
        "hash_a": _sha256(key),
        "size": rows * 731,
        "rows": rows,
        "model": _model(index % MODELS),
        "total": rows * 210,
    }


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _write(file: Path, template: str, values: dict[str, object]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(_template(template).substitute(values), encoding="utf-8")


@cache
def _template(name: str) -> Template:
    return Template((TEMPLATES / f"{name}.yaml").read_text(encoding="utf-8"))
