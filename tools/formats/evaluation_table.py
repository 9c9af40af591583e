"""An evaluation as tables: models beside each other, what was compared, what behaved. Cells are plain text; who prints escapes."""

from __future__ import annotations

from collections.abc import Iterator

from tools.formats.evaluation import Comparison, Evaluation, Score, Scored

_ROLES = {"base": "base", "candidate": "this run", "champion": "champion"}
_SHARES = ("exact_match", "rouge_l", "llamafactory_rouge_l", "llamafactory_bleu_4")
# In Markdown these mean something; a cell means none of it.
_MARKS = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_{}[]<>#+!|~@&$"})

Table = tuple[tuple[str, ...], list[tuple[str, ...]]]


def scores(evaluation: Evaluation) -> Table:
    """A row a metric, a column a model with its 95 % interval, then the differences."""
    metrics = [name for model in evaluation.models[:1] for name in model.scores]
    against = [role for role in ("base", "champion") if any(each.against == role for each in evaluation.comparisons)]
    head = ("metric", *(_column(model) for model in evaluation.models), *(f"against {role}" for role in against))
    rows = [
        (
            name,
            *(_score(name, model.scores.get(name)) for model in evaluation.models),
            *(_difference(name, evaluation.comparisons, role) for role in against),
        )
        for name in metrics
    ]
    return head, rows


def behaviours(evaluation: Evaluation) -> Table:
    """A row a file of behaviours: how many cases passed, and the first failure."""
    rows: list[tuple[str, ...]] = [
        (each.name, f"{each.cases - each.failed_cases} of {each.cases}", each.failures[0] if each.failures else "")
        for each in evaluation.behaviours
    ]
    return ("behaviour", "passed", "first failure"), rows


def summary(evaluation: Evaluation) -> str:
    """The verdict in a sentence."""
    left = f", {evaluation.rows_in_training} more are training rows" if evaluation.rows_in_training else ""
    data = ", ".join(evaluation.datasets)
    return f"{evaluation.verdict}, decided by {evaluation.decides_by} on {evaluation.rows} rows of {data}{left}"


def markdown(evaluation: Evaluation) -> str:
    """The whole evaluation as a Markdown page."""
    return "\n".join(_lines(evaluation)) + "\n"


def _lines(evaluation: Evaluation) -> Iterator[str]:
    yield f"Evaluation of {_escaped(evaluation.run_id)}: {_escaped(summary(evaluation))}"
    yield ""
    for head, rows in (scores(evaluation), behaviours(evaluation)):
        if rows:
            yield from (_line(head), _line(("---",) * len(head)), *map(_line, (map(_escaped, row) for row in rows)), "")
    for title, texts in (("Why it failed", evaluation.reasons), ("Notes", evaluation.notes)):
        if texts:
            yield from (f"{title}:", "", *(f"- {_escaped(text)}" for text in texts), "")
    yield f"Values with 95 % intervals; {_escaped(evaluation.device)}, {evaluation.seconds:.0f} s, {evaluation.finished_at}."


def _line(cells: object) -> str:
    return f"| {' | '.join(cells)} |"  # type: ignore[arg-type]


def _escaped(text: str) -> str:
    return " ".join(text.split()).translate(_MARKS)


def _column(model: Scored) -> str:
    if model.role == "champion" and model.registered_version:
        return f"champion (version {model.registered_version})"
    return f"base ({model.name})" if model.role == "base" else _ROLES[model.role]


def _score(metric: str, score: Score | None) -> str:
    if score is None:
        return ""
    return f"{_number(metric, score.value)} ({_number(metric, score.low)} to {_number(metric, score.high)})"


def _difference(metric: str, comparisons: list[Comparison], role: str) -> str:
    each = next((each for each in comparisons if each.against == role and each.metric == metric), None)
    if each is None:
        return "not comparable"
    text = f"{each.verdict}: {_signed(metric, each.difference)}"
    return text if each.p_value is None else f"{text}, p {each.p_value:.2g}"


def _number(metric: str, value: float) -> str:
    return f"{value:.1%}" if metric in _SHARES else f"{value:,.4g}"


def _signed(metric: str, score: Score) -> str:
    if metric in _SHARES:
        return f"{100 * score.value:+.1f} ({100 * score.low:+.1f} to {100 * score.high:+.1f}) points"
    return f"{score.value:+,.4g} ({score.low:+,.4g} to {score.high:+,.4g})"
