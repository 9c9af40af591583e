"""What a published model says of itself: model card, ML-BOM and provenance, and who signed that."""

from __future__ import annotations

import os
from pathlib import Path

from runner.card import bom, provenance, readme
from runner.card.facts import Facts
from runner.certify.certificate import Certificate
from runner.completion import Completion
from runner.exits import Retry
from runner.hashing import names_in, record, write_json
from runner.publication import NAME as PUBLICATION
from tools import dsse
from tools.dsse import Signer
from tools.formats.lock import Lock

KEY = "MODEL_SIGNING_KEY"  # file with the private key; the Secret's in a cluster


def signer(lock: Lock) -> Signer | None:
    """Who signs the provenance; None where the environment names no key and this process has none.

    Raises:
        Retry: the environment names keys, but there is none here, or it cannot be read.
    """
    file = os.environ.get(KEY)
    remedy = f"put the private key (PEM, ed25519) into the Secret model-signing as key.pem, or name its file in {KEY}"
    if file and Path(file).is_file():
        try:
            return dsse.load(Path(file))
        except ValueError as error:
            raise Retry(f"{file}: {error}", remedy) from error
    if lock.run.publish is not None and lock.run.publish.signed:
        raise Retry(f"{lock.run.environment} signs its models, and no key is here", remedy)
    return None


def describe(lock: Lock, proof: Completion, made: Certificate, model: Path, signed_by: Signer | None) -> None:
    """Write README.md, bom.cdx.json and provenance.intoto.json beside the model; the last one names every other file."""
    facts = Facts(lock, proof, made, model)
    (model / readme.NAME).write_text(readme.text(facts), encoding="utf-8")
    write_json(model / bom.NAME, bom.document(facts))
    known = {name: file.sha256 for name, file in made.result.items()}
    others = [name for name in names_in(model) if name not in known and name not in (provenance.NAME, PUBLICATION)]
    subjects = known | {name: file.sha256 for name, file in record(model, others).items()}
    statement = provenance.statement(facts, subjects)
    write_json(model / provenance.NAME, dsse.envelope(statement, provenance.PAYLOAD_TYPE, signed_by))
