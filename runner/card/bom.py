"""bom.cdx.json: a CycloneDX 1.6 bill of materials of a model (https://cyclonedx.org/capabilities/mlbom/).

Written as plain JSON, because cyclonedx-python-lib has no model cards yet; the tests hold it against the official schema, which
that library carries.
"""

from __future__ import annotations

import uuid
from typing import Any

from runner.card.facts import Facts

NAME = "bom.cdx.json"
MODEL, BASE = "model", "base-model"
# Identifiers as SPDX spells them; the catalogue has them in lower case. Others, of which SPDX has no list, go by name.
SPDX = {
    name.lower(): name
    for name in (
        "Apache-2.0",
        "MIT",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "CC-BY-4.0",
        "CC-BY-SA-4.0",
        "CC0-1.0",
        "ISC",
        "MPL-2.0",
    )
}
APPROACH = {"pt": "self-supervised", "kto": "reinforcement-learning", "dpo": "reinforcement-learning"}


def document(facts: Facts) -> dict[str, Any]:
    """The whole document; the same run gives the same one, serial number included."""
    run = facts.lock.run
    data = [_dataset(facts, dataset) for dataset in run.datasets]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, facts.lock.sha256)}",
        "version": 1,
        "metadata": {
            "timestamp": facts.proof.finished_at,
            "lifecycles": [{"phase": "build"}],
            "tools": {"components": [_tool(name, version) for name, version in sorted(facts.proof.versions.items())]},
            "component": _model(facts),
        },
        "components": [_base(facts), *data],
        "dependencies": [
            {"ref": MODEL, "dependsOn": [BASE, *(each["bom-ref"] for each in data)]},
            *({"ref": ref} for ref in (BASE, *(each["bom-ref"] for each in data))),
        ],
    }


def _model(facts: Facts) -> dict[str, Any]:
    run = facts.lock.run
    return {
        "type": "machine-learning-model",
        "bom-ref": MODEL,
        "group": run.tenant,
        "name": facts.name,
        "version": facts.lock.run_id,
        "description": facts.description,
        "licenses": _licences(run.model.licence),
        "components": [_file(MODEL, name, file.sha256) for name, file in sorted(facts.certificate.result.items())],
        "pedigree": {"ancestors": [_ancestor(facts)]},
        "modelCard": _card(facts),
        "properties": _properties(
            {
                "run_id": facts.lock.run_id,
                "run_sha256": facts.lock.sha256,
                "image": run.image,
                "approvers": ",".join(facts.lock.authorized.approvers) if facts.lock.authorized else "",
            }
        ),
    }


def _card(facts: Facts) -> dict[str, Any]:
    settings = facts.lock.run.settings
    stage = str(settings.get("stage", "sft"))
    parameters: dict[str, Any] = {
        "approach": {"type": APPROACH.get(stage, "supervised")},
        "task": "text-generation",
        "architectureFamily": "transformer",
        "datasets": [{"ref": _ref(dataset.name)} for dataset in facts.lock.run.datasets],
        "inputs": [{"format": "text"}],
        "outputs": [{"format": "text"}],
    }
    if facts.architecture:
        parameters["modelArchitecture"] = facts.architecture
    return {
        "modelParameters": parameters,
        "quantitativeAnalysis": {
            "performanceMetrics": [{"type": name, "value": repr(value)} for name, value in facts.metrics.items()]
        },
        "considerations": {
            "users": [facts.lock.run.tenant],
            "useCases": [facts.description] if facts.description else [],
        },
        "properties": _properties({name: str(settings[name]) for name in sorted(settings)}),
    }


def _base(facts: Facts) -> dict[str, Any]:
    files = [_file(BASE, name, sha256) for name, sha256 in sorted(facts.certificate.base.items())]
    return {**_ancestor(facts), "bom-ref": BASE, "components": files}


def _ancestor(facts: Facts) -> dict[str, Any]:
    model = facts.lock.run.model
    return {
        "type": "machine-learning-model",
        "name": model.source.repository,
        "version": model.source.revision,
        "licenses": _licences(model.licence),
    }


def _dataset(facts: Facts, dataset: Any) -> dict[str, Any]:
    return {
        "type": "data",
        "bom-ref": _ref(dataset.name),
        "name": dataset.name,
        "hashes": [_hash(dataset.sha256)],
        "data": [{"type": "dataset", "name": dataset.name, "contents": {"url": facts.dataset_uri(dataset.path)}}],
        "properties": _properties({"rows": str(dataset.rows), "format": dataset.format}),
    }


def _file(owner: str, name: str, sha256: str) -> dict[str, Any]:
    return {"type": "file", "bom-ref": f"{owner}/{name}", "name": name, "hashes": [_hash(sha256)]}


def _tool(name: str, version: str) -> dict[str, Any]:
    return {"type": "application", "name": name, "version": version}


def _licences(name: str) -> list[dict[str, Any]]:
    return [{"license": {"id": SPDX[name]} if name in SPDX else {"name": name}}]


def _properties(values: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": f"finetuning:{name}", "value": value} for name, value in values.items() if value]


def _hash(sha256: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": sha256}


def _ref(dataset: str) -> str:
    return f"dataset/{dataset}"
