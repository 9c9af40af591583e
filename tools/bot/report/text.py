"""The whole comment before the merge: verdict first, then what has to be done, then what to know."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tools.bot.records import MergeRequest
from tools.bot.report import approval_text, findings_text, plan_text, served
from tools.bot.report.escape import count, shown
from tools.bot.report.links import Links
from tools.bot.report.recompute import MOST_FILES, Report

MARKER = "<!-- ft-bot: report -->"
# GitLab takes 1,000,000 characters, and needs long to show a fifth of that.
LONGEST = 150_000


def comment(request: MergeRequest, report: Report, target_sha: str) -> str:
    """The comment's Markdown.

    target_sha: the commit of the target branch that the merge request's files were laid over.
    """
    links = Links.of(request.web_url, request.head_sha, request.target_branch)
    checked = (
        f"_Checked: {links.revision(request.head_sha)} over {links.revision(target_sha)} of `{request.target_branch}`"
    )
    note = "as data, with the bot's own code. Each push updates this comment._"
    return fit(
        [[MARKER, f"### {headline(report)}", "", *_todo(report), ""], *_parts(report, links)], [f"{checked}, {note}"]
    )


def headline(report: Report) -> str:
    """The verdict in one line."""
    if report.too_many:
        return f"❌ Cannot be judged: {len(report.changes):,} files, at most {MOST_FILES:,} are looked at"
    if report.errors:
        return (
            f"❌ Cannot be authorized: {findings_text.in_words([f for f in report.findings if f.severity == 'error'])}"
        )
    if invalid := [run for run in report.runs if run.action == "invalid"]:
        return f"❌ Cannot be authorized: {count(len(invalid), 'experiment')} cannot be planned"
    if any(run.needs is not None and run.needs.impossible for run in report.starting):
        return "❌ Cannot be authorized: too few people may approve it"
    return f"{'⚠️' if report.admin_reasons else '✅'} {_consequence(report)}"


def _consequence(report: Report) -> str:
    stopping = sum(run.action == "cancel" for run in report.runs)
    parts = [f"start {count(len(report.starting), 'training run')}"] if report.starting else []
    parts += [f"stop {count(stopping, 'run')}"] if stopping else []
    if report.starting:
        also = ", with a platform admin's approval as well" if report.admin_reasons else ""
        return f"Ready for approval{also}: merging will {' and '.join(parts)}"
    if stopping:
        return f"Ready to merge: merging will {parts[0]}"
    if report.served and not report.outside:
        return f"Ready for approval: merging changes what is served or recalled ({count(len(report.served), 'file')})"
    if report.outside:
        return "Needs a platform admin's approval; no training starts"
    return "Nothing to authorize: no training starts"


def _todo(report: Report) -> Iterator[str]:
    """Who does what next, a sentence."""
    if report.too_many:
        yield "**Next:** split it into smaller merge requests."
    elif report.errors or any(run.action == "invalid" for run in report.runs):
        yield "**Next:** the author corrects what the table names and pushes. An experiment with errors never starts, approved or not."
    elif any(run.needs is not None and run.needs.impossible for run in report.starting):
        yield "**Next:** a platform admin adds approvers in `tenants/`, in a merge request of its own that is merged first."
    elif report.starting:
        yield "**Next:** approvers read the plan, press **Approve**, and then somebody merges. Merging without the approvals starts nothing."
    elif report.outside:
        yield "**Next:** a platform admin reviews and approves; without that the platform stands still after the merge."
    else:
        yield "**Next:** merge when the review is done."


def _parts(report: Report, links: Links) -> Iterator[list[str]]:
    """Sections, the dearest first."""
    if report.findings:
        yield ["#### Findings", "", *findings_text.lines(report.findings, links)]
    if report.outside:
        yield ["#### Files outside the author's tenants", "", *approval_text.outside(report, links)]
    if report.runs:
        yield ["#### What approval authorizes", "", *approval_text.runs(report, links)]
    if report.served:
        yield ["#### What is served and recalled", "", *served.lines(report.served)]
    if report.totals:
        yield ["#### Quota", "", *approval_text.quota(report.totals)]
    if report.elsewhere:
        yield list(findings_text.elsewhere(report.elsewhere, links))
    for run in report.runs:
        if run.plan is not None and run.action in {"start", "again"}:
            yield list(plan_text.lines(run, links))


def fit(parts: Sequence[list[str]], end: list[str]) -> str:
    """All parts in turn as far as they fit, and how many did not."""
    kept: list[str] = []
    size = sum(len(line) + 1 for line in end)
    for index, part in enumerate(parts):
        size += sum(len(line) + 1 for line in part)
        if size > LONGEST:
            left = count(len(parts) - index, "section")
            kept.append(
                f"_{left} left out: this comment is as long as it may be. `ft plan` in a checkout shows the rest._\n"
            )
            break
        kept += part
    return harmless("\n".join([*kept, *end, ""]))


def harmless(body: str) -> str:
    """A last net under all parts: invisible, direction and control characters as their escapes."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in body)


def unreadable(request: MergeRequest, why: str) -> str:
    """The comment where the merge request's files cannot even be read."""
    links = Links.of(request.web_url, request.head_sha, request.target_branch)
    verdict = f"### ❌ Cannot be judged: {shown(why)}"
    following = "**Next:** the author takes such files out of the branch and pushes; nothing starts before that."
    return "\n".join([MARKER, verdict, "", following, "", f"_Looked at: {links.revision(request.head_sha)}_", ""])
