"""The description of a promotion's merge request: what would be served, how it did, what it was made of, and what it cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tools.bot.promote.candidates import Candidate
from tools.bot.report.escape import code, shown, table
from tools.formats.audit import Audit
from tools.formats.evaluation import RESULT_TAG, Evaluation, Score, from_tag
from tools.models.versions import ModelVersion


def title(found: Candidate) -> str:
    """The merge request's title."""
    return f"Serve {found.name} version {found.served.model_version} in {found.environment}"


def description(found: Candidate, versions: Sequence[ModelVersion]) -> str:
    """Its description; versions: those of the model in the registry."""
    return "\n".join([*_lines(found, versions), ""])


def _lines(found: Candidate, versions: Sequence[ModelVersion]) -> Iterator[str]:
    served, running = found.served, found.running
    yield f"The evaluation of {code(found.record.run_id)} passed. Merging serves it in {code(found.environment)}."
    yield ""
    rows = [
        ("version", f"{served.model_version}, now {running.model_version if running else 'nothing'}"),
        ("run", f"{code(served.run_id)}, now {code(running.run_id) if running else 'nothing'}"),
        ("publication (SHA-256)", code(served.publication)),
        *_run(found.record),
    ]
    yield from table(("", ""), rows)
    yield ""
    tags = next((version.tags for version in versions if version.number == served.model_version), {})
    yield from _evaluation(from_tag(tags.get(RESULT_TAG, "")), found.record)
    yield (
        "The tenant's approvers read this, press **Approve** after the last push, and somebody merges. The bot then writes the"
        " overlay; recall and hashes are checked again. To roll back, revert the merge request. Closing it keeps the bot from"
        " proposing this version again."
    )


def _run(record: Audit) -> Iterator[tuple[str, str]]:
    last = record.last
    people = ", ".join(shown(each.user.username) for each in last.authorized.approvals)
    yield "trained by", f"!{last.authorized.merge_request}, approved by {people}"
    yield "data", ", ".join(f"{code(name)} {code(sha256[:12])}" for name, sha256 in record.hashes.datasets.items())
    measured = last.outcome.measured if last.outcome is not None else None
    if measured is not None:
        yield "cost", f"{measured.gpu_hours:,.2f} GPU-hours"


def _evaluation(found: Evaluation | None, record: Audit) -> Iterator[str]:
    if found is None or found.run_sha256 != record.sha256:
        yield "_MLflow has no readable result of the evaluation: look at the run's page there._"
        yield ""
        return
    yield f"#### Evaluation: {found.verdict}, {found.rows:,} held-out rows"
    yield ""
    metrics = sorted({metric for model in found.models for metric in model.scores})
    head = ("model", *(shown(metric) for metric in metrics))
    rows = [
        (f"{model.role} {shown(model.name)}", *(_score(model.scores.get(metric)) for metric in metrics))
        for model in found.models
    ]
    yield from table(head, rows)
    yield ""
    for each in found.comparisons:
        yield f"- {shown(each.metric)} against {each.against}: {each.verdict}, difference {_score(each.difference)}"
    for behaved in found.behaviours:
        yield f"- behaviour {code(behaved.name)}: {behaved.cases - behaved.failed_cases} of {behaved.cases} passed"
    yield ""


def _score(score: Score | None) -> str:
    return f"{score.value:.4g} [{score.low:.4g}, {score.high:.4g}]" if score is not None else ""
