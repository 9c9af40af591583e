"""A plan in words: titled tables of short texts, from which the text and the markdown report are set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tools.plan import predicted, words
from tools.plan.estimate import Plan
from tools.plan.scoring import MODELS
from tools.tuning import probing

TUNED = ("Chosen by performance: auto", "performance: auto would choose")


@dataclass(frozen=True, slots=True)
class Section:
    """A titled table; every row has as many cells as the head."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def headline(plan: Plan) -> str:
    """The plan in one line."""
    run = plan.lock.run
    what = f"{run.experiment['method']} {run.experiment.get('stage', 'sft')} of {run.model.name}"
    return f"{plan.lock.run_id}: {what}, {plan.steps.optimisation_steps:,} steps, {plan.verdict} ({words.size(plan.needed)} of {words.size(plan.limit)})"


def sections(plan: Plan) -> list[Section]:
    """All tables of a plan; empty ones are left out."""
    found = (
        Section("Run", ("what", "value"), tuple(_run(plan))),
        Section("Training", ("what", "value"), tuple(_training(plan))),
        Section(_tuning_title(plan), ("setting", "as written", "chosen"), tuple(_tuning(plan))),
        Section("Rows longer than cutoff_len", ("dataset", "rows", "cut"), tuple(_cuts(plan))),
        Section(_memory_title(plan), ("part", "need", "formula", "source"), tuple(_memory(plan))),
        Section("What would need less memory", ("change", "need", "then"), tuple(_changes(plan))),
        Section("Expected from past runs", ("what", "expected", "error", "from"), tuple(_predicted(plan))),
        Section("Storage", ("what", "need"), tuple(_disk(plan))),
        Section("Time and cost", ("what", "expected", "at most"), tuple(_cost(plan))),
        Section(
            f"Quota of {plan.lock.run.tenant} in {plan.lock.run.environment}",
            ("what", "before", "after", "allowed", ""),
            tuple(_quota(plan)),
        ),
        Section("Approvals needed", ("from",), tuple((line,) for line in plan.approvals)),
        Section(_difference_title(plan), ("key", "old", "new"), tuple(_difference(plan))),
        Section("Notes", ("note",), tuple((note,) for note in plan.notes)),
    )
    return [section for section in found if section.rows]


def _run(plan: Plan) -> Iterator[tuple[str, str]]:
    run, resources = plan.lock.run, plan.lock.run.resources
    yield "run id", plan.lock.run_id
    yield "environment", f"{run.environment}, namespace {run.namespace}, priority {run.priority}"
    yield "model", f"{run.model.name} ({run.model.source.repository} {run.model.source.revision}, {run.model.licence})"
    for dataset in run.datasets:
        yield "dataset", f"{dataset.name}: {dataset.rows:,} rows, sha256 {dataset.sha256[:12]}"
    for dataset in run.evaluation.datasets if run.evaluation else ():
        yield "held-out data", f"{dataset.name}: {dataset.rows:,} rows, sha256 {dataset.sha256[:12]}"
    gpus = f"{resources.gpus} x {plan.device} on each of {resources.nodes} node(s)" if resources.gpus else "CPU only"
    yield "devices", gpus
    yield "image", run.image
    if run.publish is None:
        yield "publishes", f"nothing: the {_result(plan)} is the result"
    else:
        yield "publishes", f"{run.publish.model_name}" + ("" if run.publish.merge else ", merged by hand later")


def _result(plan: Plan) -> str:
    return "model" if plan.work.method == "full" else "adapter"


def _training(plan: Plan) -> Iterator[tuple[str, str]]:
    steps, each = plan.steps, plan.work.sequences
    yield "optimisation steps", f"{steps.optimisation_steps:,} ({steps.epochs:g} epochs of {steps.steps_per_epoch:,})"
    yield "examples", f"{steps.examples:,} an epoch, {steps.examples_per_step:,} a step"
    if plan.work.processes > 1:
        yield "effective batch", _effective(plan)
    yield (
        "tokens",
        f"{words.count(plan.duration.tokens)} in all, {plan.work.typical:,.0f} an example, at most {plan.work.longest:,}",
    )
    yield "forward pass", f"{each} sequence(s), up to {plan.work.tokens:,} tokens with padding"
    for key, value in plan.lock.run.settings.items():
        yield key, str(value)


def _effective(plan: Plan) -> str:
    work, resources = plan.work, plan.lock.run.resources
    batch, accumulation = work.value("per_device_train_batch_size"), work.value("gradient_accumulation_steps")
    ranks = f"{max(1, resources.gpus)} x {resources.nodes} processes"
    return f"{plan.steps.examples_per_step:,} = batch {batch} x accumulation {accumulation} x {ranks}"


def _tuning_title(plan: Plan) -> str:
    if plan.lock.run.performance is not None:
        return f"{TUNED[0]}, expected {times(plan.lock.run.performance.expected_gain)}"
    return f"{TUNED[1]}, expected {times(plan.advice.gain)}" if plan.advice else ""


def times(gain: float) -> str:
    """How much quicker than as written, in words."""
    if gain < 1:
        return "slower, but sure to fit"
    return f"{gain:g} times as fast" if gain > 1 else "as fast as written"


def _tuning(plan: Plan) -> Iterator[tuple[str, str, str]]:
    """The settings that the platform changed or would change, then why."""
    chosen, reasons = plan.lock.run.performance, plan.advice.reasons if plan.advice else ()
    if chosen is not None:
        reasons = tuple(chosen.reasons)
        for key, written in chosen.as_written.items():
            yield key, str(written), str(plan.lock.run.settings[key])
        if not chosen.as_written:
            yield "(nothing)", "", "as written is the quickest way known that fits"
        if chosen.probe is not None:
            yield "probe", "", probing.words(chosen.probe)
    elif plan.advice is not None:
        for key, (written, wanted) in sorted(plan.advice.changes.items()):
            yield key, str(written), str(wanted)
    for reason in reasons:
        yield "because", "", reason


def _cuts(plan: Plan) -> Iterator[tuple[str, str, str]]:
    for cut in plan.cuts:
        if cut.over is None:
            yield cut.dataset, f"{cut.rows:,}", "not measured"
        elif cut.over:
            yield cut.dataset, f"{cut.rows:,}", f"about {cut.over:,} ({cut.over / cut.rows:.1%})"


def _memory_title(plan: Plan) -> str:
    where = "a GPU's memory" if plan.lock.run.resources.gpus else "memory (RAM)"
    share = plan.needed / plan.limit
    return f"Peak of {where}: {words.bar(share)} {words.size(plan.needed)} of {words.size(plan.limit)} ({share:.0%}), {plan.verdict}"


def _memory(plan: Plan) -> Iterator[tuple[str, str, str, str]]:
    for part in plan.parts:
        yield part.name, words.size(part.bytes), part.formula, part.source
    found = plan.prediction
    if found is not None and found.memory.factor > 1:
        formula = f"{found.memory.factor:.2f} times the formulas"
        source = f"measured by {found.memory.runs} finished run(s) of {predicted.group(found.memory)}"
        yield "learnt", words.size(found.peak - found.formula_peak), formula, source


def _changes(plan: Plan) -> Iterator[tuple[str, str, str]]:
    for change in plan.changes:
        yield change.what, words.size(change.bytes), "fits" if change.bytes <= plan.limit else "does not fit either"


def _predicted(plan: Plan) -> Iterator[tuple[str, str, str, str]]:
    found = plan.prediction
    if found is not None:
        memory = f"formulas alone: {words.size(found.formula_peak)}"
        yield "peak of a GPU's memory", words.size(found.peak), *predicted.grounds(found.memory, memory)
        if found.hours is not None and found.formula_hours is not None:
            time = f"formulas alone: {words.hours(found.formula_hours)}"
            yield "training", words.hours(found.hours), *predicted.grounds(found.time, time)


def _disk(plan: Plan) -> Iterator[tuple[str, str]]:
    disk = plan.disk
    yield (
        f"checkpoints, {disk.checkpoints} x {words.size(disk.checkpoint)}",
        words.size(disk.checkpoint * disk.checkpoints),
    )
    yield _result(plan), words.size(disk.result)
    if disk.merged:
        yield "merged model", words.size(disk.merged)
    yield "at most", words.size(disk.peak)


def _cost(plan: Plan) -> Iterator[tuple[str, str, str]]:
    low, high, limit = plan.duration.low, plan.duration.high, plan.lock.run.resources.time_limit_seconds / 3600
    if low is None or high is None:
        yield "training", "not known on a CPU", words.hours(limit)
        yield from _scoring(plan)
        return
    yield "training", f"{words.hours(low)} to {words.hours(high)}", words.hours(limit)
    yield from _scoring(plan)
    devices = plan.lock.run.resources.gpus * plan.lock.run.resources.nodes
    scored_low, scored_high = (plan.scoring.low or 0, plan.scoring.high or 0) if plan.scoring else (0, 0)
    least, most = low * devices + scored_low, high * devices + scored_high
    yield "GPU-hours", f"{least:,.1f} to {most:,.1f}", f"{plan.planned_gpu_hours:,.1f}"
    price = plan.price
    at_most = f"{plan.planned_gpu_hours * price:,.2f}"
    yield f"cost, {plan.currency}", f"{least * price:,.2f} to {most * price:,.2f}", at_most
    if low > limit:
        yield "the time limit", f"is shorter than the expected {words.hours(low)}", "raise resources.time_limit"


def _scoring(plan: Plan) -> Iterator[tuple[str, str, str]]:
    found = plan.scoring
    if found is not None:
        known = found.low is not None and found.high is not None
        expected = f"{words.hours(found.low or 0)} to {words.hours(found.high or 0)}" if known else "not known on a CPU"
        yield f"evaluation, {MODELS} models x {found.rows:,} rows", expected, words.hours(found.limit)


def _quota(plan: Plan) -> Iterator[tuple[str, ...]]:
    for share in plan.shares:
        state = "exceeded" if share.exceeded else "ok"
        numbers = (f"{number:,.1f} {share.unit}" for number in (share.before, share.after, share.allowed))
        yield (share.name, *numbers, state)


def _difference_title(plan: Plan) -> str:
    return f"Difference from {plan.difference.name}" if plan.difference else ""


def _difference(plan: Plan) -> Iterator[tuple[str, str, str]]:
    if plan.difference is None:
        return
    if not plan.difference.changes:
        yield "(none)", "", "the same run again"
    for key, old, new in plan.difference.changes:
        yield key, "" if old is None else old, "" if new is None else new
