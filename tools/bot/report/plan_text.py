"""One experiment's plan for two readers: who wrote it, and who is asked to allow it."""

from __future__ import annotations

from collections.abc import Iterator

from tools.bot.report.escape import code, count, folded, shown, table
from tools.bot.report.links import Links
from tools.bot.report.runs import Run
from tools.plan import predicted, words
from tools.plan.difference import Difference
from tools.plan.estimate import Cut, Plan
from tools.plan.sections import TUNED, sections, times
from tools.predict.correction import Correction
from tools.tuning import probing

_MOST_CHANGES = 15
_BLOCKS = str.maketrans({"#": "█", "-": "░"})
_HASH = 12
# Tables of `ft plan` that the comment does not say itself.
_DETAILS = ("Run", "Training", "Peak", "What would need less memory", "Expected from past runs", "Storage", *TUNED)


def lines(run: Run, links: Links) -> Iterator[str]:
    """The heading, the figures that decide, the difference, and everything else folded away."""
    plan = run.plan
    assert plan is not None
    yield f"#### {links.file(run.file, text=f'{run.tenant}/{run.name}')}"
    yield ""
    description = plan.lock.run.experiment.get("description")
    yield from (["_Description:_ " + shown(str(description)), ""] if description else [])
    yield from table(("plan", ""), ((f"**{what}**", value) for what, value in _figures(plan)))
    yield ""
    yield from _difference(plan.difference)
    yield from folded("Every setting, memory part by part with formulas and sources, storage", _details(plan))
    yield ""


def _details(plan: Plan) -> Iterator[str]:
    for section in sections(plan):
        if section.title.startswith(_DETAILS):
            yield f"**{shown(section.title)}**"
            yield ""
            yield from table(section.head, ([shown(cell) for cell in row] for row in section.rows))
            yield ""


def _figures(plan: Plan) -> Iterator[tuple[str, str]]:
    run, resources = plan.lock.run, plan.lock.run.resources
    experiment = run.experiment
    how = f"{experiment['method']} {experiment.get('stage', 'sft')}"
    yield "Model", f"{code(run.model.name)}, {shown(how)}, licence {shown(run.model.licence)}"
    yield "Data", "<br>".join(_data(plan))
    epochs = f"{plan.steps.epochs:g} {'epoch' if plan.steps.epochs == 1 else 'epochs'}"
    tokens = f"{words.count(plan.duration.tokens)} tokens"
    yield "Steps", f"{plan.steps.optimisation_steps:,} ({epochs} of {plan.steps.steps_per_epoch:,}), {tokens}"
    if run.performance is not None:
        yield "Performance", f"auto: {len(run.performance.as_written)} settings, {times(run.performance.expected_gain)}"
        if run.performance.probe is not None:
            yield "Probe", probing.words(run.performance.probe)
    elif plan.advice is not None:
        yield "Performance", f"as written; `performance: auto` is expected {times(plan.advice.gain)}"
    if resources.gpus:
        nodes = f" on each of {resources.nodes} nodes" if resources.nodes > 1 else ""
        yield "GPUs", f"{resources.gpus} x {shown(plan.device)}{nodes}, priority {run.priority}"
    else:
        yield "GPUs", f"none: it trains on the CPU, priority {run.priority}"
    yield "Peak GPU memory" if resources.gpus else "Peak memory", _memory(plan)
    yield "Time", _time(plan)
    if resources.gpus:
        yield "Cost", _cost(plan)
    yield "Result", _result(plan)
    for note in plan.notes:
        yield "Note", shown(note)


def _data(plan: Plan) -> Iterator[str]:
    cuts = {cut.dataset: cut for cut in plan.cuts}
    for dataset in plan.lock.run.datasets:
        cut = _cut(cuts.get(dataset.name))
        yield f"{code(dataset.name)}: {dataset.rows:,} rows, SHA-256 {code(dataset.sha256[:_HASH])}{cut}"


def _cut(cut: Cut | None) -> str:
    if cut is None or cut.over == 0:
        return ""
    if cut.over is None:
        return ", lengths not measured"
    return f", about {cut.over:,} ({cut.over / cut.rows:.1%}) longer than cutoff\\_len are cut"


def _memory(plan: Plan) -> str:
    share = plan.needed / plan.limit
    bar = words.bar(share).translate(_BLOCKS)
    fits = {"fits": "fits", "tight": "**tight**", "does not fit": "**does not fit**"}[plan.verdict]
    text = f"`{bar}` {words.size(plan.needed)} of {words.size(plan.limit)} ({share:.0%}), {fits}"
    if plan.prediction is not None and plan.prediction.memory.runs:
        text += f"; past runs: {words.size(plan.prediction.peak)} {_learnt(plan.prediction.memory)}"
    less = next((change for change in plan.changes if change.bytes <= plan.limit), None)
    return f"{text}; {code(less.what)} would need {words.size(less.bytes)}" if less else text


def _time(plan: Plan) -> str:
    low, high, limit = plan.duration.low, plan.duration.high, plan.lock.run.resources.time_limit_seconds / 3600
    if low is None or high is None:
        return f"not known on a CPU; stopped after {words.hours(limit)}"
    text = f"{words.hours(low)} to {words.hours(high)} expected, stopped after {words.hours(limit)}"
    found = plan.prediction
    if found is not None and found.hours is not None and found.time.runs:
        text += f"; past runs: {words.hours(found.hours)} {_learnt(found.time)}"
    return f"{text}; **the limit is too short: raise** `resources.time_limit`" if low > limit else text


def _learnt(found: Correction) -> str:
    return f"{predicted.error(found)} ({found.runs} of {shown(predicted.group(found))})"


def _cost(plan: Plan) -> str:
    devices = plan.lock.run.resources.gpus * plan.lock.run.resources.nodes
    low, high = plan.duration.low or 0.0, plan.duration.high or 0.0
    hours = f"at most {plan.planned_gpu_hours:,.1f} GPU-hours"
    if not plan.price:
        return hours
    currency = shown(plan.currency)
    most = plan.planned_gpu_hours * plan.price
    return f"{low * devices * plan.price:,.0f} to {high * devices * plan.price:,.0f} {currency} expected, at most {most:,.0f} {currency} ({hours})"


def _result(plan: Plan) -> str:
    publish = plan.lock.run.publish
    if publish is None:
        return "the weights stay on the tenant's storage; nothing is registered"
    merge = (
        "merged and registered" if publish.merge else "kept as an adapter; `ft publish` merges and registers it later"
    )
    return f"{merge} as {code(publish.model_name)}" if publish.merge else merge


def _difference(difference: Difference | None) -> Iterator[str]:
    if difference is None:
        yield "_The tenant's first experiment: there is no earlier one to compare with._"
        yield ""
        return
    name = code(difference.name)
    if not difference.changes:
        yield f"**No difference** from {name}: the same training again."
        yield ""
        return
    yield f"Differs from {name}, the nearest earlier experiment, in {count(len(difference.changes), 'key')}:"
    yield ""
    rows = [(code(key), _value(old), _value(new)) for key, old, new in difference.changes]
    yield from table(("key", name, "here"), rows[:_MOST_CHANGES])
    yield ""
    if len(rows) > _MOST_CHANGES:
        yield from folded(f"{len(rows) - _MOST_CHANGES} more", table(("key", name, "here"), rows[_MOST_CHANGES:]))
        yield ""


def _value(text: str | None) -> str:
    return "not set" if text is None else code(text, 120)
