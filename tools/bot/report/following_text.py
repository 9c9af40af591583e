"""The comment after the merge: how far each run is, with its links, or why it failed and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from tools.bot.records import MergeRequest
from tools.bot.report.chart import loss_chart
from tools.bot.report.escape import code, count, folded, link, listing, shown, table
from tools.bot.report.following import OVER, Seen, State
from tools.bot.report.links import Links
from tools.bot.report.text import MARKER, fit
from tools.cluster.text import left
from tools.expand.overlay import folder
from tools.formats import evaluation_table
from tools.formats.audit import Audit, Outcome
from tools.formats.evaluation import Evaluation
from tools.plan import words
from tools.plan.memory import GIB

_BLOCKS = str.maketrans({"#": "█", "-": "░"})
_IN_WORDS: dict[State, str] = {
    "waiting": "waits for the bot",
    "refused": "not authorized",
    "authorized": "authorized, about to start",
    "queued": "queued",
    "running": "training",
    "publishing": "merging and registering",
    "registered": "finished",
    "failed": "failed",
    "cancelled": "cancelled",
    "retired": "over, its overlay is removed",
}
_MARKS: dict[State, str] = {"refused": "⛔", "failed": "❌", "registered": "✅", "cancelled": "⏹️", "retired": "🗄️"}
_EVALUATED = {"passed": "✅", "failed": "❌", None: "none recorded"}
_STAGES = ("authorized", "queued", "running", "publishing", "registered")
_RANK: dict[State, int] = {state: index for index, state in enumerate(_STAGES)}  # type: ignore[misc]
_WORST_FIRST: tuple[State, ...] = (
    "failed", "refused", "running", "publishing", "queued", "authorized", "waiting", "cancelled", "registered", "retired",
)  # fmt: skip


def comment(request: MergeRequest, runs: Sequence[Seen], now: datetime) -> str:
    """The comment's Markdown; `now` is shown as the time of the look."""
    links = Links.of(request.web_url, request.head_sha, request.target_branch)
    parts = [[MARKER, f"### {headline(runs)}", ""], *([*_one(seen, links)] for seen in _ordered(runs))]
    going = any(seen.state not in OVER for seen in runs)
    end = "The bot updates this comment until the run is over." if going else "The run is over; this comment stays."
    return fit(parts, [f"_As of {_moment(now.timestamp())}. {end}_"])


def closed(request: MergeRequest) -> str:
    """The comment of a merge request that was closed without a merge."""
    commit = Links.of(request.web_url, request.head_sha, request.target_branch).revision(request.head_sha)
    text = f"Its last commit was {commit}. Reopening it brings the report back."
    return f"{MARKER}\n### Closed without a merge: nothing starts\n\n{text}\n"


def nothing(request: MergeRequest) -> str:
    """The comment of a merged merge request whose comment promised no run."""
    links = Links.of(request.web_url, request.head_sha, request.target_branch)
    merged = request.merge_commit_sha or request.squash_commit_sha or request.head_sha
    return "\n".join(
        [MARKER, "### ✅ Merged: no training was to start", "", f"Merged as {links.revision(merged)}.", ""]
    )


def headline(runs: Sequence[Seen]) -> str:
    """The state of all runs in one line, the worst first."""
    if len(runs) == 1:
        (seen,) = runs
        return f"{_mark(seen.state)} {code(_title(seen))}: {_state(seen)}"
    numbers = [(state, sum(seen.state == state for seen in runs)) for state in _WORST_FIRST]
    parts = [f"{number} {_IN_WORDS[state]}" for state, number in numbers if number]
    worst = next(state for state, number in numbers if number)
    return f"{_mark(worst)} {count(len(runs), 'run')}: {', '.join(parts)}"


def _state(seen: Seen) -> str:
    if seen.state == "registered" and seen.tracked is not None and seen.tracked.version and seen.publishes:
        return f"registered as {code(seen.publishes)} version {seen.tracked.version}"
    if seen.state == "running" and seen.tracked is not None and seen.tracked.percent is not None:
        return f"training, {seen.tracked.percent:.0f} %"
    return _IN_WORDS[seen.state]


def _mark(state: State) -> str:
    return _MARKS.get(state, "⏳")


def _ordered(runs: Sequence[Seen]) -> list[Seen]:
    return sorted(runs, key=lambda seen: (_WORST_FIRST.index(seen.state), _title(seen)))


def _title(seen: Seen) -> str:
    return f"{seen.promise.tenant}/{seen.promise.name}"


def _one(seen: Seen, links: Links) -> Iterator[str]:
    experiment = f"experiments/{seen.promise.tenant}/{seen.promise.name}.yaml"
    yield f"#### {_mark(seen.state)} {links.on_branch(experiment, _title(seen))}"
    yield ""
    if seen.state in _RANK:
        yield from _stages(seen)
    if seen.reason:
        yield f"**Why:** {shown(seen.reason, 1000)}"
        yield ""
    if seen.reasons:
        yield "**Why:**"
        yield ""
        yield from (f"- {shown(reason, 1000)}" for reason in seen.reasons)
        yield ""
    if seen.remedy:
        yield f"**Next:** {shown(seen.remedy, 1000)}"
        yield ""
    if (progress := _progress(seen)) is not None:
        yield progress
        yield ""
    if chart := loss_chart(seen.curve):
        yield from (["", *chart, ""] if seen.state != "registered" else folded("Training loss", chart))
        yield ""
    if seen.verdict is not None:
        yield from _evaluation(seen.verdict)
    if seen.tail is not None:
        yield f"Last lines of {code(seen.tail.pod)}:"
        yield ""
        yield from listing(seen.tail.lines)
        yield ""
    yield from table(("", ""), ((f"**{what}**", value) for what, value in _facts(seen, links)))
    yield ""
    for note in seen.notes:
        yield f"_Note:_ {shown(note)}"
        yield ""


def _stages(seen: Seen) -> Iterator[str]:
    """One line of boxes: what is done, what is going on, what is to come."""
    names = ["authorized", "queued", "training"]
    names += ["merged", "evaluated", "registered"] if seen.publishes else ["finished"]
    now = _RANK[seen.state]
    position = (1, 1, 2, 3, len(names))[now]
    if seen.state == "publishing":
        position += sum(step in seen.published for step in ("merge", "evaluate"))
    marks = ["✅" if index < position else "⏳" if index == position else "·" for index in range(len(names))]
    if seen.publishes and seen.state == "registered":
        marks[names.index("evaluated")] = _EVALUATED[seen.verdict.verdict if seen.verdict else None]
    yield from table(names, [marks])
    yield ""


def _evaluation(found: Evaluation) -> Iterator[str]:
    """The verdict and its tables. All of it comes from tags that the tenant's own credential may write."""
    yield f"**Evaluation:** {_EVALUATED[found.verdict]} {shown(evaluation_table.summary(found), 500)}"
    yield ""
    for head, rows in (evaluation_table.scores(found), evaluation_table.behaviours(found)):
        if rows:
            yield from table([*map(shown, head)], ([*map(shown, row)] for row in rows))
            yield ""
    yield from (f"- {shown(reason, 500)}" for reason in (*found.reasons, *found.notes))
    yield ""


def _progress(seen: Seen) -> str | None:
    tracked = seen.tracked
    if tracked is None or tracked.percent is None or seen.state not in {"running", "failed", "cancelled"}:
        return None
    parts = [f"`{words.bar(tracked.percent / 100).translate(_BLOCKS)}` {tracked.percent:.0f} %"]
    if tracked.eta_seconds and seen.state == "running":
        parts.append(f"{left(tracked.eta_seconds, tracked.eta_error_seconds)} left")
    if tracked.loss is not None:
        parts.append(f"loss {tracked.loss:.4g}")
    if tracked.tokens_per_second:
        parts.append(f"{tracked.tokens_per_second:,.0f} tokens/s")
    if tracked.gpu_utilisation_percent is not None:
        parts.append(f"GPU {tracked.gpu_utilisation_percent:.0f} % busy")
    told = f" (told by the run at {_moment(tracked.updated)})" if tracked.updated else ""
    return ", ".join(parts) + told


def _facts(seen: Seen, links: Links) -> Iterator[tuple[str, str]]:
    promise, tracked, lock = seen.promise, seen.tracked, seen.lock
    attempt = lock.attempt if lock else seen.record.last.attempt if seen.record else 1
    if promise.run_id:
        yield "Run", f"{code(promise.run_id)} in {code(promise.environment)}, attempt {attempt}"
    if seen.cause:
        yield "Cause", links.on_branch("docs/failures.md", seen.cause)
    if tracked is not None:
        yield "Training", link("metrics and parameters in MLflow", tracked.url)
    for name, value in seen.evaluation.items():
        yield "Evaluated", f"{shown(name)} {value:.4g}"
    if tracked is not None and tracked.version and tracked.version_url:
        yield "Registered", link(f"{seen.publishes or 'model'} version {tracked.version}", tracked.version_url)
    elif (outcome := seen.record.last.outcome if seen.record else None) is not None and outcome.registered is not None:
        yield "Registered", f"{code(outcome.registered.name)} version {outcome.registered.version}"
    if lock is not None:
        yield "Overlay", links.on_branch(f"{folder(lock.run)}/run.yaml")
    if seen.record is not None:
        yield from _recorded(seen.record, links)


def _recorded(record: Audit, links: Links) -> Iterator[tuple[str, str]]:
    last = record.last
    who = ", ".join(shown(approval.user.username) for approval in last.authorized.approvals)
    yield "Authorized by", f"{who}; {links.on_branch(record.file, 'audit record')}"
    if last.outcome is not None and last.outcome.measured is not None:
        yield "Measured", _measured(record, last.outcome)


def _measured(record: Audit, outcome: Outcome) -> str:
    measured, estimated = outcome.measured, record.estimated
    assert measured is not None
    text = f"{measured.gpu_hours:,.2f} GPU-hours (at most {estimated.gpu_hours_limit:,.1f} were allowed)"
    if measured.idle_share is not None:
        text += f", GPUs idle for {measured.idle_share:.0%} of the training"
    if (
        measured.training_hours is not None
        and estimated.predicted is not None
        and estimated.predicted.hours is not None
    ):
        expected = words.hours(estimated.predicted.hours)
        text += f", trained for {words.hours(measured.training_hours)} (expected {expected})"
    if measured.peak_memory_bytes is None:
        return text
    share = f"{measured.peak_memory_bytes / GIB:,.1f} GiB peak memory"
    return f"{text}, {share} (estimated {estimated.peak_memory_bytes / GIB:,.1f} GiB)"


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
