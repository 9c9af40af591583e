"""provenance.intoto.json: an in-toto statement with the SLSA provenance predicate, version 1 (https://slsa.dev/spec/v1.0/provenance)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from runner.card.facts import Facts
from runner.certify.certificate import NAME as CERTIFICATE
from runner.completion import NAME as COMPLETION
from runner.provenance import git_commit

NAME = "provenance.intoto.json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:llm-finetuning-platform:publish:v1"
BASE, DATASET = "base model", "dataset"  # roles of what went in
BUILDER = "urn:llm-finetuning-platform:runner"


def statement(facts: Facts, subjects: Mapping[str, str]) -> dict[str, Any]:
    """The statement about every file of the model.

    subjects: name -> SHA-256.
    """
    return {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": subjects[name]}} for name in sorted(subjects)],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": _asked(facts),
                "internalParameters": _decided(facts),
                "resolvedDependencies": list(_dependencies(facts)),
            },
            "runDetails": {
                "builder": {"id": BUILDER, "version": facts.proof.versions},
                "metadata": {
                    "invocationId": facts.lock.job_name,
                    "startedOn": facts.proof.started_at,
                    "finishedOn": facts.proof.finished_at,
                },
                "byproducts": [_proof(facts)],
            },
        },
    }


def _asked(facts: Facts) -> dict[str, Any]:
    """What people wrote, and who allowed it."""
    authorized = facts.lock.authorized
    return {
        "tenant": facts.lock.run.tenant,
        "environment": facts.lock.run.environment,
        "experiment": facts.lock.run.experiment,
        "authorization": authorized.model_dump(mode="json") if authorized else None,
    }


def _decided(facts: Facts) -> dict[str, Any]:
    """What the platform made of it."""
    run = facts.lock.run
    return {
        "runId": facts.lock.run_id,
        "runSha256": facts.lock.sha256,
        "modelName": facts.name,
        "base": run.base,
        "settings": run.settings,
        "licence": run.model.licence,
    }


def _dependencies(facts: Facts) -> Iterator[dict[str, Any]]:
    run = facts.lock.run
    source = f"{run.model.source.repository}@{run.model.source.revision}"
    for name, sha256 in sorted(facts.certificate.base.items()):
        annotations = {
            "role": BASE,
            "model": run.model.name,
            "source": source,
            "licence": run.model.licence,
            "file": name,
        }
        yield {"name": f"{run.model.path}/{name}", "digest": {"sha256": sha256}, "annotations": annotations}
    for dataset in run.datasets:
        yield {
            "name": dataset.name,
            "uri": facts.dataset_uri(dataset.path),
            "digest": {"sha256": dataset.sha256},
            "annotations": {"role": DATASET, "rows": dataset.rows, "file": dataset.name},
        }
    image, _, digest = run.image.partition("@sha256:")
    yield {"name": "image", "uri": f"oci://{image}", "digest": {"sha256": digest}, "annotations": {"role": "image"}}
    commit = git_commit(facts.lock)
    if commit is not None:
        yield {"name": "repository", "digest": {"gitCommit": commit}, "annotations": {"role": "configuration"}}


def _proof(facts: Facts) -> dict[str, Any]:
    """The training's own record, which lies beside the adapter, by its figures."""
    proof = facts.proof
    return {
        "name": COMPLETION,
        "uri": f"{facts.claim}/output/lora-adapter/{facts.lock.run_id}/{COMPLETION}",
        "annotations": {
            "checksum": proof.checksum,
            "metrics": facts.metrics,
            "stepsDone": proof.steps_done,
            "trainingSeconds": proof.training_seconds,
            "certificate": CERTIFICATE,
        },
    }
