"""One merge request reported: looked at, judged or followed, and its comment brought up to date."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from tools.bot.errors import HeadMissing, Hostile
from tools.bot.forge import Forge
from tools.bot.mirror import Mirror
from tools.bot.records import MergeRequest
from tools.bot.report import following_text, text
from tools.bot.report.answer import answer
from tools.bot.report.following import OVER, Connect, Promise, follow
from tools.bot.report.outcome import explained
from tools.bot.report.recompute import Report, recompute
from tools.bot.report.sticky import Sticky, alone
from tools.bot.report.tree import Conflict, lay_out, runs
from tools.bot.showing import digest
from tools.bot.store import Store

MAIN = "main"
TRIES = 3
_CONFLICT = "it conflicts with the target branch; rebase it and push"
_GONE = "its files cannot be read yet: GitLab has not made its head commit available"
What = Literal["judged", "unreadable", "followed", "closed", "left"]


@dataclass(frozen=True, slots=True)
class Written:
    """What became of one report. note: the comment's id, None where nothing was written. over: nothing more will change."""

    what: What
    note: int | None
    head_sha: str
    over: bool = False


@dataclass(frozen=True)
class Reporter:
    """What a report works with.

    folder: for locks, of this bot. connect: environment -> its cluster, or why there is none.
    """

    forge: Forge
    mirror: Mirror
    store: Store
    folder: Path
    environments: Sequence[str]
    connect: Connect
    tracking_uri: str | None = None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def report(self, iid: int, *, news_only: bool = False) -> Written:
        """Bring the comment of a merge request up to date; the newest commit wins.

        news_only: leave the comment of a merged one as it is while its runs stand where they stood.

        Raises:
            ForgeAway, MirrorAway: no answer, the same call does it later.
            ForgeRefused, MirrorFault, StoreFault: a person has to look.
        """
        with alone(self.folder, iid):
            for _ in range(TRIES):
                request = self.forge.merge_request(iid)
                if (done := self._once(request, news_only=news_only)) is not None:
                    return done
        return Written("left", None, request.head_sha)  # pushes come faster than reports: the next one brings its own

    def _once(self, request: MergeRequest, *, news_only: bool) -> Written | None:
        """None: the merge request changed meanwhile."""
        if request.target_branch != MAIN:  # nothing but main is ever deployed
            return Written("left", None, request.head_sha, over=True)
        if request.state == "merged":
            return self._follow(request, news_only=news_only)
        if request.state == "closed":
            return self._close(request)
        return self._judge(request)

    def _judge(self, request: MergeRequest) -> Written | None:
        self.mirror.fetch([request.iid])
        with _folder() as folder:
            target = self.mirror.tip(MAIN)
            if target is None or not request.head_sha or not self.mirror.has(request.head_sha):
                raise HeadMissing(f"!{request.iid}: {_GONE}; the bot tries again later")
            try:
                tree = lay_out(self.mirror, target, request.head_sha, folder)
            except (Conflict, Hostile) as error:
                why = _CONFLICT if isinstance(error, Conflict) else str(error)
                return self._written("unreadable", request, text.unreadable(request, why))
            # Asking GitLab who the bot is takes a call, and matters to a promotion alone.
            bot = self.forge.me() if any(change.path.startswith("serving/") for change in tree.changes) else None
            report = recompute(tree.repository, tree.before, tree.changes, request.author, tree.mixed, bot)
            body = text.comment(request, report, target)
        # What is about to be shown, for a bot that dies right then; on record as shown only once it was (tools.bot.showing).
        self.store.save_showing(request.iid, request.head_sha, promised(report), digest(body), self.now())
        written = self._written("judged", request, body)
        if written is not None:
            self.store.save_shown(request.iid, request.head_sha, promised(report), self.now())
        return written

    def _follow(self, request: MergeRequest, *, news_only: bool) -> Written | None:
        shown = [
            Promise(each.environment, each.tenant, each.name, each.run_id, each.sha256)
            for each in self.store.shown(request.iid, request.head_sha)
        ]
        self.mirror.fetch()
        target = self.mirror.tip(MAIN)
        with _folder() as folder:
            assert target is not None
            places = [(each.environment, each.tenant, each.name) for each in shown]
            repository = runs(self.mirror, target, places, folder)
            found = follow(repository, shown, self.connect, self.tracking_uri)
        found = explained(self.store, request, self.environments, found)
        if not found:
            return self._written("followed", request, following_text.nothing(request), over=True)
        over = all(seen.state in OVER for seen in found)
        answers = [answer(seen) for seen in found if seen.promise.sha256]
        if news_only and not any(self._is_news(request.iid, each) for each in answers):
            return Written("left", None, request.head_sha, over)
        written = self._written("followed", request, following_text.comment(request, found, self.now()), over=over)
        for each in answers if written is not None else ():
            told = {**self._told(each["sha256"]), str(request.iid): _digest(each)}
            self.store.save_run(each["sha256"], each["run_id"], {**each, "told": told})
        return written

    def _is_news(self, iid: int, data: dict[str, Any]) -> bool:
        """Whether the merge request's comment says something else of a run; several merge requests may speak of one run."""
        return self._told(data["sha256"]).get(str(iid)) != _digest(data)

    def _told(self, sha256: str) -> dict[str, str]:
        return dict((self.store.run(sha256) or {}).get("told") or {})

    def _close(self, request: MergeRequest) -> Written | None:
        """A comment that was never made is not made now."""
        if self.store.comment(request.iid) is None:
            return Written("closed", None, request.head_sha, over=True)
        return self._written("closed", request, following_text.closed(request), over=True)

    def _written(self, what: What, request: MergeRequest, body: str, *, over: bool = False) -> Written | None:
        def still_right(now: MergeRequest) -> bool:
            return (now.head_sha, now.state) == (request.head_sha, request.state)

        note = Sticky(self.forge, request.iid, self.store.comment(request.iid)).write(body, still_right)
        if note is None:
            return None
        self.store.note_comment(request.iid, note)
        return Written(what, note, request.head_sha, over)


def _digest(data: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def promised(report: Report) -> list[tuple[str, str, str, str, str]]:
    """The runs that an approval of this report authorizes or stops: environment, tenant, name, run id, full hash."""
    locks = [
        run.plan.lock for run in report.runs if run.plan is not None and run.action in {"start", "again", "cancel"}
    ]
    return [(lock.run.environment, lock.run.tenant, lock.run.name, lock.run_id, lock.sha256) for lock in locks]


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ft-report-") as folder:
        yield Path(folder)
