"""The model that is published: base and adapter merged shard by shard, or the trained model itself for method full.

headers -> base, adapter -> plan -> layout -> stream (work, precision, source) -> texts; `assemble` is the order of it all, `command` the
merge by hand. numpy comes in only with the merge itself.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.exits import Mismatch, RunnerError
from runner.merge.report import MergeReport, TensorChange
from runner.sizes import tensors

if TYPE_CHECKING:
    from runner.completion import Completion
    from runner.storage import Paths

__all__ = ["MergeReport", "TensorChange", "build", "check", "folders"]


def build(paths: Paths, proof: Completion, folder: Path) -> MergeReport | None:
    """Write the model's files into `folder`; the report is None for method full, where nothing is merged.

    Raises:
        Mismatch: base or adapter are not what lock and proof say, or do not fit each other.
        BadSpec: the adapter cannot be merged exactly; the message names why.
        RunnerError: what was written is incomplete. OSError passes through.
    """
    report = None
    if paths.lock.run.settings["finetuning_type"] == "full":
        for name in proof.files:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(paths.adapter / name, target)
    else:
        report = folders(paths.base_model, paths.adapter, folder, settings=paths.lock.run.settings, hashing=True)
        _compare(report, paths, proof)
    check(folder)
    return report


def folders(base: Path, adapter: Path, folder: Path, *, settings: Mapping[str, Any], hashing: bool) -> MergeReport:
    """`runner.merge.assemble.merge`, with numpy imported so that its matrix products stay in the thread that asks for them."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from runner.merge.assemble import merge

    return merge(base, adapter, folder, settings=settings, hashing=hashing)


def check(folder: Path) -> None:
    """Make sure that everything a server loads is there and whole.

    Raises:
        RunnerError: names the file.
    """
    weights = list(folder.glob("*.safetensors"))
    missing = [name for name in ("config.json", "tokenizer_config.json") if not (folder / name).is_file()]
    if not weights:
        missing.append("*.safetensors")
    if missing:
        raise RunnerError(
            f"{folder}: {', '.join(missing)} missing after the merge",
            "neither the training run nor the base model has it: mend the base model's folder, then merge again",
        )
    try:
        for file in weights:
            list(tensors(file))
        for file in folder.glob("*.json"):
            json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunnerError(f"{folder}: damaged after the merge: {error}", "merge again") from error


def _compare(report: MergeReport, paths: Paths, proof: Completion) -> None:
    """What was merged is what was locked and what was trained.

    Raises:
        Mismatch: names the file.
    """
    locked = {paths.base_model / name: file.sha256 for name, file in paths.lock.run.model.files.items()}
    trained = {paths.adapter / name: file.sha256 for name, file in proof.files.items()}
    read = {paths.base_model / name: found for name, found in report.base.items()}
    read |= {paths.adapter / name: found for name, found in report.adapter.items()}
    for file, found in read.items():
        allowed = (locked | trained).get(file)
        if found != allowed:
            raise Mismatch(
                f"{file}: sha256 is {found}; allowed: {allowed or 'a file that the lock names'}",
                "restore the file that the run was trained with, then publish again",
            )
