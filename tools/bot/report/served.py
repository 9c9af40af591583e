"""What merging changes of what is served and recalled, for the comment: from what to what, and who has to approve."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tools.bot.report.changes import Change
from tools.bot.report.escape import code, shown, table
from tools.bot.report.needs import Before
from tools.expand import serving
from tools.formats.recall import Recall
from tools.formats.serving import Serving
from tools.recalls import Recalls
from tools.repository import Repository
from tools.rules.kinds import place_of


@dataclass(frozen=True, slots=True)
class ServedChange:
    """One file below serving/ or recalls/. before, after: in words. approvals: who has to approve, in words."""

    file: str
    before: str
    after: str
    approvals: str


def changes(repository: Repository, before: Before, changed: Sequence[Change]) -> Iterator[ServedChange]:
    """All of them, in the order of the files. repository: what merging gives."""
    for each in changed:
        place = place_of(each.path)
        if place is None or place.kind not in {"serving", "recall"}:
            continue
        names = _approvers(before, place.tenant_name)
        if place.kind == "serving":
            after = repository.optional(each.path, Serving)
            approvals = names if each.kind != "removed" else f"none: a merge by somebody of {place.tenant_name}"
            yield ServedChange(each.path, _running(repository, each.path), _words(after), approvals)
        else:
            recall = repository.optional(each.path, Recall)
            yield ServedChange(each.path, "", _recalled(repository, each.path, recall), f"to weaken it: {names}")


def _running(repository: Repository, file: str) -> str:
    folder = serving.overlay_of(file)
    lock = serving.read(repository, folder).value if (repository.root / folder).is_dir() else None
    return _words(lock.content.served if lock is not None else None)


def _words(served: Serving | None) -> str:
    if served is None:
        return "nothing"
    return f"version {served.model_version}, run {served.run_id}, publication {served.publication[:12]}"


def _recalled(repository: Repository, file: str, recall: Recall | None) -> str:
    if recall is None:
        return "no recall"
    state = "lifted" if recall.lifted is not None else "no model of it is promoted"
    models = len(Recalls(repository).trained_on(file.split("/")[1], set(recall.sha256)))
    return f"{len(recall.sha256)} content(s) recalled, {models} model(s): {state}"


def _approvers(before: Before, tenant: str) -> str:
    found = before.tenants.get(tenant)
    if found is None:
        return "nobody can: the target branch has no such tenant"
    return f"{found.required_approvals} of {', '.join(person.username for person in found.approvers)}"


def lines(found: Sequence[ServedChange]) -> Iterator[str]:
    """The section of the comment."""
    rows = [(code(each.file), shown(each.before), shown(each.after), shown(each.approvals)) for each in found]
    yield from table(("file", "served now", "after the merge", "approvals"), rows)
    yield ""
    yield "Approvals count as they do for a run: after the last push, not by the author or anybody who pushed here."
    yield ""
