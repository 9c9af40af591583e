"""GitLab, as the bot uses it: the only module that imports python-gitlab.

Every method is one REST call (lists: one per page of 100) and raises `ForgeAway` when GitLab gives no usable answer and
`ForgeRefused` (`ForgeMissing` for 404) when it says no. The token appears in no message. One `Forge` belongs to one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, TypeVar, cast

import gitlab
import gitlab.exceptions

from tools.bot import session, translate
from tools.bot.errors import ForgeAway, ForgeMissing, ForgeRefused
from tools.bot.records import Approval, DiffVersion, MergeRequest, Note, Project, Push, User
from tools.bot.refusals import refusal

T = TypeVar("T")
PAGE = 100  # GitLab's largest
MAX_LISTED = 20_000  # of one list: a hundred times what a merge request has
MAX_SAID = 200  # characters of GitLab's own message
TOO_MANY = 429
SERVER_FAULT = 500
TEMPORARY = frozenset({408, 425})


class Forge:
    """One project on one GitLab, seen with one token."""

    def __init__(
        self,
        url: str,
        project_id: int,
        token: str,
        *,
        answer_seconds: float = session.ANSWER_SECONDS,
        patience_seconds: float = session.PATIENCE_SECONDS,
    ) -> None:
        self.url = url.rstrip("/")
        self.project_id = project_id
        self._session = session.PatientSession(answer_seconds, patience_seconds)
        self._token = token
        self._me: User | None = None
        self._gitlab = gitlab.Gitlab(
            self.url, private_token=token, session=self._session, timeout=answer_seconds, keep_base_url=True,
            retry_transient_errors=False, user_agent="ft-bot",
        )  # fmt: skip
        self._project = self._gitlab.projects.get(project_id, lazy=True)

    @property
    def calls(self) -> int:
        """HTTP requests sent so far, retries included."""
        return self._session.calls

    # --- who and where -------------------------------------------------------------------------------------------------
    def me(self) -> User:
        """The token's own account; asked once, and not at all after `add_note`, whose answer says it."""
        if self._me is None:
            self._me = translate.user(self.get("/user"))
        return self._me

    def project(self) -> Project:
        """Our project."""
        return translate.project(self.get(f"/projects/{self.project_id}"))

    # --- merge requests ------------------------------------------------------------------------------------------------
    def merge_request(self, iid: int) -> MergeRequest:
        """One merge request, with `base_sha`."""
        with self._asking(f"merge request !{iid}"):
            return translate.merge_request(self._project.mergerequests.get(iid).attributes)

    def open_merge_requests(self) -> list[MergeRequest]:
        """All that are open, oldest first."""
        return self._merge_requests("open merge requests", state="opened")

    def merged_merge_requests(self, after: datetime, target_branch: str = "main") -> list[MergeRequest]:
        """All into `target_branch` that changed after a moment and are merged: one call for a hundred of them."""
        return self._merge_requests(
            "merged merge requests", state="merged", target_branch=target_branch, updated_after=after.isoformat()
        )

    def merge_requests_from(self, source_branch: str, state: str = "opened") -> list[MergeRequest]:
        """Those of a branch: whether the bot's own is there already."""
        return self._merge_requests(f"merge requests of {source_branch}", source_branch=source_branch, state=state)

    def merge_requests_of(self, sha: str) -> list[MergeRequest]:
        """Those that brought a commit in, or hold it now."""
        path = f"/projects/{self.project_id}/repository/commits/{sha}/merge_requests"
        return self._list(path, f"merge requests of commit {sha[:12]}", translate.merge_request)

    def versions(self, iid: int) -> list[DiffVersion]:
        """What it held after each push, newest first."""
        path = f"/projects/{self.project_id}/merge_requests/{iid}/versions"
        found = self._list(path, f"the versions of !{iid}", translate.version)
        return sorted(found, key=lambda version: (version.created_at, version.id), reverse=True)

    def approvals(self, iid: int) -> list[Approval]:
        """Who approves it now."""
        with self._asking(f"the approvals of !{iid}"):
            found = self._project.mergerequests.get(iid, lazy=True).approvals.get()
            return [translate.approval(each) for each in found.attributes.get("approved_by") or []]

    def create_merge_request(
        self, *, source_branch: str, target_branch: str, title: str, description: str, remove_source_branch: bool = True
    ) -> MergeRequest:
        """Open one. GitLab answers 409 (`ForgeRefused`) when the branch already has an open one."""
        with self._asking(f"a merge request from {source_branch}", writes=True):
            made = self._project.mergerequests.create(
                {
                    "source_branch": source_branch,
                    "target_branch": target_branch,
                    "title": title,
                    "description": description,
                    "remove_source_branch": remove_source_branch,
                }
            )
            return translate.merge_request(made.attributes)

    def close_merge_request(self, iid: int) -> None:
        """Close one without a merge."""
        with self._asking(f"closing !{iid}"):
            self._project.mergerequests.update(iid, {"state_event": "close"})

    # --- comments ------------------------------------------------------------------------------------------------------
    def notes(self, iid: int) -> list[Note]:
        """All comments and system notes, oldest first."""
        path = f"/projects/{self.project_id}/merge_requests/{iid}/notes"
        return self._list(path, f"the comments of !{iid}", translate.note, sort="asc", order_by="created_at")

    def note(self, iid: int, note_id: int) -> Note:
        """One comment.

        Raises:
            ForgeMissing: a person deleted it.
        """
        with self._asking(f"comment {note_id} of !{iid}"):
            return translate.note(self._notes(iid).get(note_id).attributes)

    def add_note(self, iid: int, body: str) -> Note:
        """Write a comment. `ForgeAway.maybe_done`: it may be there all the same, look for it before you write again."""
        with self._asking(f"a comment on !{iid}", writes=True):
            made = translate.note(self._notes(iid).create({"body": body}).attributes)
        self._me = made.author
        return made

    def edit_note(self, iid: int, note_id: int, body: str) -> Note:
        """Replace a comment's text.

        Raises:
            ForgeMissing: a person deleted it.
        """
        with self._asking(f"comment {note_id} of !{iid}"):
            return translate.note(self._notes(iid).update(note_id, {"body": body}))

    def delete_note(self, iid: int, note_id: int) -> None:
        """Remove a comment of our own; one that is gone already is no fault."""
        with suppress(ForgeMissing), self._asking(f"comment {note_id} of !{iid}"):
            self._notes(iid).delete(note_id)

    # --- who pushed ----------------------------------------------------------------------------------------------------
    def pushes(self, project_id: int, branch: str | None = None, after: datetime | None = None) -> list[Push]:
        """Pushes to a branch (to any when None) of a project, forks too, since a moment; newest first.

        Pushes of many branches at once, which GitLab lists without their names, are among them.
        """
        query: dict[str, Any] = {"action": "pushed", "sort": "desc"}
        if after is not None:
            # The filter knows whole days only and leaves out the named one, in the server's time zone.
            query["after"] = (after - timedelta(days=2)).date().isoformat()
        found = self._list(f"/projects/{project_id}/events", "the push events", translate.push, **query)
        return [
            push
            for push in found
            if push is not None
            and (branch is None or push.ref in {branch, ""})
            and (after is None or push.created_at >= after)
        ]

    # --- anything else (ft doctor gitlab, id tokens) --------------------------------------------------------------------
    def get(self, path: str, /, **query: Any) -> Any:
        """The JSON of one GET below /api/v4."""
        with self._asking(path):
            return _json(self._gitlab.http_get(path, query_data=query))

    def get_all(self, path: str, /, **query: Any) -> list[dict[str, Any]]:
        """All pages of a list below /api/v4, as JSON."""
        return self._list(path, path, dict, **query)

    def signing_keys(self) -> dict[str, Any]:
        """The keys that sign GitLab's id tokens, as JWKS (docs: ci/secrets/id_token_authentication)."""
        with self._asking("the keys of id tokens"):
            return dict(_json(self._gitlab.http_get(f"{self.url}/oauth/discovery/keys")))

    # --- inside --------------------------------------------------------------------------------------------------------
    def _notes(self, iid: int) -> Any:
        return self._project.mergerequests.get(iid, lazy=True).notes

    def _merge_requests(self, what: str, **query: Any) -> list[MergeRequest]:
        path = f"/projects/{self.project_id}/merge_requests"
        return self._list(path, what, translate.merge_request, sort="asc", order_by="created_at", **query)

    def _list(self, path: str, what: str, translated: Callable[[dict[str, Any]], T], **query: Any) -> list[T]:
        """All pages, counted: GitLab says in X-Total how many there are."""
        with self._asking(what):
            pages = cast("gitlab.GitlabList", self._gitlab.http_list(path, query, iterator=True, per_page=PAGE))
            found = [translated(each) for each in islice(pages, MAX_LISTED + 1)]
            if len(found) > MAX_LISTED:
                raise ForgeAway(f"{what}: over {MAX_LISTED} entries, more than the bot reads")
            if pages.total is not None and len(found) < pages.total:
                raise ForgeAway(f"{what}: GitLab gave {len(found)} of {pages.total}; the bot tries again later")
            return found

    @contextmanager
    def _asking(self, what: str, *, writes: bool = False) -> Iterator[None]:
        """Turn every failure of a call into one of the bot's errors, without the token and without a chain to it."""
        try:
            yield
        except gitlab.exceptions.GitlabParsingError:
            raise self._away(what, "the answer is no JSON, or only half of it", maybe_done=writes) from None
        except gitlab.exceptions.GitlabError as error:
            raise self._said_no(what, error, writes=writes) from None
        except session.TooMany as error:
            raise self._away(what, str(error), status=TOO_MANY) from None
        except session.NoAnswer as error:
            raise self._away(what, str(error), maybe_done=writes) from None
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            # Hostile or unknown fields; the value itself stays out of the message.
            raise self._away(what, f"the answer is not what GitLab documents ({type(error).__name__})") from None

    def _said_no(self, what: str, error: gitlab.exceptions.GitlabError, *, writes: bool) -> ForgeAway | ForgeRefused:
        status = error.response_code or 0
        said = " ".join(str(error.error_message).replace(self._token, "***").split())[:MAX_SAID]
        if status in TEMPORARY or status >= SERVER_FAULT:
            return self._away(what, f"HTTP {status}", status=status, maybe_done=writes)
        return refusal(f"{self.url}: {what}", status, said)

    def _away(self, what: str, why: str, *, status: int | None = None, maybe_done: bool = False) -> ForgeAway:
        return ForgeAway(f"{self.url}: {what}: {why}; the bot tries again later", status=status, maybe_done=maybe_done)


def _json(answer: Any) -> Any:
    """What python-gitlab parsed; it hands over the bare response when the content type is not JSON's."""
    if isinstance(answer, dict | list):
        return answer
    raise gitlab.exceptions.GitlabParsingError("no JSON")
