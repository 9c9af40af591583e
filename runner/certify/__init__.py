"""The merge certificate: what went in, what came out, and what was compared before anybody may serve it.

The probe imports torch, transformers and peft; everything else here is the standard library.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from runner.certify import certificate, texts
from runner.certify.certificate import Certificate, Logits, Weights
from runner.certify.merged import Merged
from runner.completion import Completion
from runner.exits import Mismatch
from runner.hashing import faults
from runner.storage import Paths, scratch_folder
from runner.trainer import prepare

PACKAGES = ("torch", "transformers", "peft")
REMEDY = (
    "nothing is published; read each line, mend the cause, and raise `attempt` if the training has to be done again"
)


def certify(paths: Paths, proof: Completion, merged: Merged, model: Path) -> Certificate:
    """Compare the model in `model` with what it was made of; the certificate is not written yet.

    Raises:
        Mismatch: it is not base + adapter, changed nothing, or has another tokenizer; every reason is named.
    """
    expected_base = {name: file.sha256 for name, file in paths.lock.run.model.files.items()}
    expected_trained = {name: file.sha256 for name, file in proof.files.items()}
    wrong = [
        *_others(merged.base, expected_base, paths.base_model),
        *_others(merged.trained, expected_trained, paths.adapter),
        *faults(model, merged.result),
        *texts.faults(paths.adapter, paths.base_model, model),
    ]
    if wrong:
        raise Mismatch("\n".join(wrong), REMEDY)
    weights, logits, dtype = (
        _probe(paths, model) if merged.method == "merge" else (None, None, paths.lock.run.model.dtype)
    )
    found = Certificate(
        version=1,
        run_id=paths.lock.run_id,
        run_sha256=paths.lock.sha256,
        method=merged.method,
        dtype=dtype,
        base=merged.base,
        trained=merged.trained,
        result=merged.result,
        changes=merged.changes,
        untouched=merged.untouched,
        checks=texts.CHECKS,
        weights=weights,
        logits=logits,
        versions={name: version(name) for name in PACKAGES} if weights else {},
    )
    wrong = certificate.faults(found)
    if wrong:
        raise Mismatch("\n".join(f"{model.name}: {fault}" for fault in wrong), REMEDY)
    return found


def _others(read: dict[str, str], expected: dict[str, str], folder: Path) -> list[str]:
    return [
        f"{folder / name}: sha256 is {sha256}; allowed: {expected.get(name, 'no such file')}"
        for name, sha256 in read.items()
        if expected.get(name) != sha256
    ]


def _probe(paths: Paths, model: Path) -> tuple[Weights, Logits, str]:
    with scratch_folder() as scratch:
        prepare(scratch)
        from runner.certify.probe import compare

        return compare(paths.base_model, paths.adapter, model)
