"""Takes the quickest way that fits; stays with what is written where nothing is clearly quicker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tools.formats.dataset import Dataset
from tools.formats.experiment import Experiment
from tools.formats.model import Model
from tools.llamafactory.table import templates
from tools.plan import memory
from tools.plan.fit import SAFE
from tools.plan.steps import Steps, training_steps, value
from tools.plan.workload import Workload, workload
from tools.tuning.candidates import ACCUMULATION, BATCH, Author, candidates
from tools.tuning.speed import Device, seconds

_WORTH = 1.05  # times quicker; less is within what the formulas do not know


@dataclass(frozen=True, slots=True)
class Choice:
    """What the platform would change. changes: key -> (as written or LLaMA Factory's default, chosen).

    fused: whether the runner's own parts compute. gain: how many times quicker than as written, expected; reasons: one sentence each. seconds: of all steps, expected.
    """

    changes: Mapping[str, tuple[Any, Any]]
    fused: bool
    gain: float
    reasons: tuple[str, ...]
    seconds: float

    @property
    def settings(self) -> dict[str, Any]:
        """The chosen values."""
        return {key: chosen for key, (_, chosen) in self.changes.items()}


@dataclass(frozen=True)
class _Way:
    settings: Mapping[str, Any]
    work: Workload
    steps: Steps
    seconds: float

    @cached_property
    def bytes(self) -> float:
        """Peak memory; asked for a few ways only, the quickest."""
        return memory.total(memory.parts(self.work))


def choose(
    experiment: Experiment, model: Model, datasets: list[Dataset], settings: Mapping[str, Any], device: Device
) -> Choice:
    """The choice for an experiment whose settings as written are `settings`."""
    template = templates().get(model.template)
    resources = experiment.resources
    neat = template is not None and template.neat_packing
    kind = model.architecture.model_type
    author = Author(experiment.train, experiment.stage, neat, kind, resources.gpus, resources.nodes)
    ways = [
        _way(found, experiment, model, datasets, device, fused=True) for found in candidates(author, datasets, settings)
    ]
    written, limit = _way(settings, experiment, model, datasets, device), SAFE * device.memory
    same = ways[0]
    fits = same.bytes <= limit
    quickest = next((way for way in sorted(ways, key=lambda way: way.seconds) if way.bytes <= limit), None)
    best = quickest or min(ways, key=lambda way: way.bytes)
    if fits and same.seconds < _WORTH * best.seconds:
        best = same
    changes = {
        key: (value(settings, key), chosen) for key, chosen in best.settings.items() if chosen != value(settings, key)
    }
    reasons = [*_reasons(written, best, changes)]
    if not fits:
        reasons.append("as written it needs more memory than there is to be sure of")
    if best.work.fused_layers:
        reasons.append(
            "the LoRA layers and the attention of packed rows are fused: the same mathematics with fewer copies"
        )
    if best.work.labelled_head:
        reasons.append("the model's head computes only the tokens that have a label: the others' logits reach no loss")
    fused = device.is_gpu or best.work.labelled_head
    return Choice(changes, fused, max(0.1, round(written.seconds / best.seconds, 1)), tuple(reasons), best.seconds)


def _way(
    settings: Mapping[str, Any],
    experiment: Experiment,
    model: Model,
    datasets: list[Dataset],
    device: Device,
    fused: bool = False,
) -> _Way:
    devices = {"gpus": experiment.resources.gpus, "nodes": experiment.resources.nodes}
    how: Any = {"method": experiment.method, "stage": experiment.stage, "fused": fused, **devices}
    work = workload(model.architecture, datasets, settings, **how)
    steps = training_steps(datasets, settings, **devices)
    return _Way(settings, work, steps, seconds(work, steps, device))


def _reasons(written: _Way, best: _Way, changes: Mapping[str, tuple[Any, Any]]) -> Iterator[str]:
    batch, accumulation = best.work.value(BATCH), best.work.value(ACCUMULATION)
    if "neat_packing" in changes:
        rows = best.work.value("cutoff_len") * batch * accumulation / max(1.0, written.work.typical)
        yield (
            f"rows are packed and kept apart: a step trains on about as many tokens as {written.steps.examples_per_step:,} rows "
            f"have (about {rows * best.work.processes:,.0f} rows), {best.steps.steps_per_epoch:,} steps an epoch instead of "
            f"{written.steps.steps_per_epoch:,}, without the padding"
        )
    elif {BATCH, ACCUMULATION} & changes.keys():
        yield (
            f"the same {best.steps.examples_per_step:,} rows a step in {accumulation} pass(es) of {batch} instead of "
            f"{written.work.value(ACCUMULATION)} of {written.work.value(BATCH)}; the loss of a pass is the mean of its tokens"
        )
    if "disable_gradient_checkpointing" in changes:
        yield "memory is there to keep every layer's activations, so nothing is computed twice: a quarter less work"
    if "enable_liger_kernel" in changes:
        yield "Liger's fused kernels compute the same with less memory"
    if "dataloader_num_workers" in changes:
        yield "rows are put into batches beside the training, not between its steps"
