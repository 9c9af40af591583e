"""An experiment and the catalogues around it, resolved into its lock: everything that decides what the run does.

Reads the repository; no clock, no network, no environment variable: the same files give the same lock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

from tools import sharding
from tools.errors import UsageError
from tools.expand.sizing import cpu_memory
from tools.formats.base import seconds
from tools.formats.dataset import Dataset
from tools.formats.experiment import Experiment
from tools.formats.gpus import GpuType
from tools.formats.lock import (
    Lock,
    LockedDataset,
    LockedEvaluation,
    LockedMlflow,
    LockedModel,
    LockedPerformance,
    LockedPublish,
    LockedResources,
    LockedRun,
    LockedStorage,
    seal,
)
from tools.formats.model import Model
from tools.formats.parse import Parsed
from tools.plan.steps import training_steps
from tools.repository import Repository
from tools.rules.subject import Subject
from tools.tuning import speed
from tools.tuning.choose import choose
from tools.tuning.probing import probe_of

CHECKPOINTS_PER_RUN = 5
MAX_SAVE_STEPS = 500


def resolve(repository: Repository, tenant_name: str, name: str, parsed: Parsed[Experiment]) -> Lock:
    """The lock of an experiment, not yet authorized.

    Raises:
        UsageError: something that the experiment names is missing or invalid; `ft validate` says where.
    """
    subject = Subject(repository, parsed, tenant_name, name)
    if parsed.value is None or parsed.unusable:
        raise _unresolvable(subject, "the experiment itself has faults")
    experiment = parsed.value
    run = _run(subject)
    return seal(run, attempt=experiment.attempt, state=experiment.state, authorized=None)


def as_written(experiment: Experiment, model: Model, gpu_gib: float | None) -> dict[str, Any]:
    """LLaMA Factory arguments of the run except paths: the platform's defaults, then what the author wrote."""
    return {
        "stage": experiment.stage,
        "do_train": True,
        "finetuning_type": "full" if experiment.method == "full" else "lora",
        "template": model.template,
        "seed": 42,
        "logging_steps": 10,
        "save_strategy": "steps",
        "save_total_limit": 2,
        **_device(experiment),
        **sharding.settings(experiment, model.architecture, gpu_gib),
        **experiment.train,
    }


def _with_checkpoints(chosen: Mapping[str, Any], experiment: Experiment, datasets: Sequence[Dataset]) -> dict[str, Any]:
    """The settings with a place for checkpoints, sorted."""
    found = dict(chosen)
    if found["save_strategy"] == "steps" and "save_steps" not in experiment.train:
        steps = training_steps(datasets, found, gpus=experiment.resources.gpus, nodes=experiment.resources.nodes)
        found["save_steps"] = min(MAX_SAVE_STEPS, max(1, ceil(steps.optimisation_steps / CHECKPOINTS_PER_RUN)))
    return dict(sorted(found.items()))


def _device(experiment: Experiment) -> Mapping[str, Any]:
    if experiment.resources.gpus == 0:
        return {"use_cpu": True}
    precision_chosen = {"bf16", "fp16", "pure_bf16"} & experiment.train.keys()
    return {} if precision_chosen else {"bf16": True}


def _run(subject: Subject) -> LockedRun:
    experiment, tenant, environment, model = subject.experiment, subject.tenant, subject.environment, subject.model
    if tenant is None:
        raise _unresolvable(subject, f"there is no valid tenants/{subject.tenant_name}/tenant.yaml")
    if environment is None or subject.environment_name is None:
        raise _unresolvable(subject, f"there is no valid environments/{subject.environment_name}.yaml")
    if model is None:
        raise _unresolvable(subject, f"there is no valid catalog/models/{experiment.model}.yaml")
    gpu = _gpu(subject)
    settings = as_written(experiment, model, gpu.memory_gib if gpu is not None else None)
    performance = None
    if experiment.performance == "auto":
        choice = choose(experiment, model, subject.datasets, settings, _trained_on(subject, gpu))
        settings |= choice.settings
        performance = LockedPerformance(
            as_written={key: written for key, (written, _) in sorted(choice.changes.items())},
            expected_gain=choice.gain,
            reasons=list(choice.reasons),
            fused=choice.fused,
            probe=probe_of(experiment, settings, choice.seconds),
        )
    return LockedRun(
        tenant=subject.tenant_name,
        environment=subject.environment_name,
        name=subject.name,
        namespace=tenant.namespace or f"{subject.tenant_name}-training",
        base=environment.base,
        image=environment.image,
        experiment=experiment.model_dump(mode="json", exclude={"state", "attempt"}, exclude_unset=True),
        model=_model(experiment.model, model),
        datasets=_datasets(subject, experiment.datasets),
        settings=_with_checkpoints(settings, experiment, subject.datasets),
        mlflow=LockedMlflow(tracking_uri=environment.mlflow.tracking_uri, experiment=subject.tenant_name),
        storage=LockedStorage(claim=environment.storage.claim, base_models_claim=environment.storage.base_models_claim),
        node_selector=environment.node_selector,
        priority=experiment.priority,
        kueue=environment.kueue,
        publish=_publish(subject),
        resources=LockedResources(
            gpus=experiment.resources.gpus,
            nodes=experiment.resources.nodes,
            time_limit_seconds=seconds(experiment.resources.time_limit),
            gpu_memory_gib=gpu.memory_gib if gpu is not None and experiment.resources.gpus else None,
        ),
        uid=tenant.uid,
        gid=tenant.gid,
        evaluation=_evaluation(subject),
        performance=performance,
        patience=environment.patience,
    )


def _gpu(subject: Subject) -> GpuType | None:
    """The environment's GPU type, where the catalogue knows it."""
    gpus, environment = subject.repository.gpus, subject.environment
    return gpus.gpus.get(environment.gpu.type) if gpus is not None and environment is not None else None


def _trained_on(subject: Subject, gpu: GpuType | None) -> speed.Device:
    if subject.experiment.resources.gpus == 0:
        return speed.cpu(cpu_memory())
    if gpu is None:
        raise _unresolvable(subject, "catalog/gpus.yaml does not know the environment's GPU type")
    return speed.gpu(gpu)


def _model(name: str, model: Model) -> LockedModel:
    return LockedModel(
        name=name,
        path=model.path,
        template=model.template,
        dtype=model.dtype,
        source=model.source,
        licence=model.licence,
        files=model.files,
    )


def _datasets(subject: Subject, names: Sequence[str]) -> list[LockedDataset]:
    locked = []
    for name in names:
        dataset = subject.repository.dataset(subject.tenant_name, name)
        if dataset is None:
            raise _unresolvable(subject, f"there is no valid tenants/{subject.tenant_name}/datasets/{name}.yaml")
        locked.append(
            LockedDataset(
                name=name,
                path=dataset.path,
                format=dataset.format,
                ranking=dataset.ranking,
                columns={str(key): name for key, name in dataset.columns.items()},
                tags={str(key): word for key, word in dataset.tags.items()},
                sha256=dataset.sha256,
                rows=dataset.rows,
            )
        )
    return locked


def _publish(subject: Subject) -> LockedPublish | None:
    publish = subject.experiment.publish
    if publish is None:
        return None
    environment = subject.environment
    return LockedPublish(
        model_name=f"{subject.tenant_name}.{publish.model_name}",
        merge=publish.merge,
        signed=environment is not None and environment.model_signing is not None,
    )


def _evaluation(subject: Subject) -> LockedEvaluation | None:
    evaluation = subject.experiment.evaluation
    if evaluation is None:
        return None
    behaviours = {}
    for name in evaluation.behaviours:
        behaviour = subject.repository.behaviour(subject.tenant_name, name)
        if behaviour is None:
            raise _unresolvable(subject, f"there is no valid tenants/{subject.tenant_name}/behaviours/{name}.yaml")
        behaviours[name] = behaviour
    return LockedEvaluation(
        datasets=_datasets(subject, evaluation.datasets),
        metrics=evaluation.metrics,
        behaviours=behaviours,
        max_rows=evaluation.max_rows,
        max_new_tokens=evaluation.max_new_tokens,
        time_limit_seconds=seconds(evaluation.time_limit),
        passes=evaluation.passes,
    )


def _unresolvable(subject: Subject, reason: str) -> UsageError:
    file = subject.parsed.document.file
    return UsageError(f"{file} cannot be resolved: {reason}; run `ft validate {file}`")
