"""A small GitLab: accounts, projects over real bare git repositories, merge requests, comments, events, webhooks.

Tests drive it through the methods here (what a person does in the browser or with git) and the code under test through its
REST API and git over HTTP. Both meet the same permission checks.
"""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from tests.gitlab import bare
from tests.gitlab.faults import Faults
from tests.gitlab.idtokens import Issuer
from tests.gitlab.model import Account, Clock, Hook, Merge, Note, Numbers, Project, Protection, Push, Role, Version
from tests.gitlab.server import RateLimit, Server
from tests.gitlab.webhooks import Webhooks
from tests.gitlab.wire import Call, Refused

MAX_NOTE = 1_000_000
_QUICK_ACTION = re.compile(r"^/[a-z_]+\b.*$", re.MULTILINE)
_CODE = re.compile(r"```.*?```|`[^`\n]*`|<!--.*?-->", re.DOTALL)
_MENTION = re.compile(r"(?<![\w/])@([A-Za-z0-9_][\w.-]*)")


class GitLab:
    """The server; `url` once it is started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = threading.RLock()
        self.clock = Clock()
        self.numbers = Numbers()
        self.accounts: dict[int, Account] = {}
        self.projects: dict[int, Project] = {}
        self.faults = Faults()
        self.calls: list[Call] = []
        self.rate_limit: RateLimit | None = None
        # Servers before 17.8 or so: no approved_at, only the system notes tell when.
        self.shows_approved_at = True
        # What comments would have set off: quick actions carried out and people notified.
        self.quick_actions: list[str] = []
        self.mentions: list[str] = []
        self.webhooks = Webhooks(self)
        self.issuer = Issuer()
        self._server = Server(self)

    # --- running -------------------------------------------------------------------------------------------------------
    def start(self, port: int = 0) -> GitLab:
        """Listen on a free port of this machine (or the one that it had before)."""
        self._server.start(port)
        self.webhooks.start()
        return self

    def stop(self) -> None:
        """End everything, hanging requests too."""
        self.webhooks.stop()
        self._server.stop()

    @property
    def url(self) -> str:
        """Where it listens."""
        return self._server.url

    def count(self, pattern: str = ".*") -> int:
        """How many REST requests so far match "METHOD path" (git's own are not counted)."""
        return sum(1 for call in self.calls if not call.git and re.search(pattern, f"{call.method} {call.path}"))

    def forget_calls(self) -> None:
        """Count from zero again."""
        self.calls.clear()

    # --- people and projects -------------------------------------------------------------------------------------------
    def add_user(self, username: str, id: int | None = None, **more: object) -> Account:  # noqa: A002 - GitLab's name
        """An account with a token of all scopes."""
        account = Account(id if id is not None else self.numbers.next("user"), username, **more)  # type: ignore[arg-type]
        self.accounts[account.id] = account
        return account

    def user(self, username: str) -> Account:
        """The account of a name."""
        return next(account for account in self.accounts.values() if account.username == username)

    def add_project(self, path: str, owner: Account, members: Mapping[Account, Role] | None = None) -> Project:
        """A private project with an empty repository; `main` is protected as GitLab does it for new projects."""
        number = self.numbers.next("project")
        project = Project(number, path, self.folder / f"{number}.git", owner)
        project.accounts[owner.id] = owner
        project.protect("main", push=Role.MAINTAINER, merge=Role.MAINTAINER)
        for account, role in (members or {}).items():
            project.grant(account, role)
        bare.create(project.bare)
        self.projects[project.id] = project
        return project

    def fork(self, project: Project, owner: Account) -> Project:
        """A fork in the owner's namespace; its members are the owner alone."""
        fork = self.add_project(f"{owner.username}/{project.path.rpartition('/')[2]}", owner)
        shutil.rmtree(fork.bare)
        shutil.copytree(project.bare, fork.bare)
        fork.forked_from = project
        fork.visibility = project.visibility
        return fork

    def clone_url(self, project: Project) -> str:
        """What `git clone` takes; the token goes in as the password."""
        return f"{self.url}/{project.path}.git"

    def add_hook(self, project: Project, url: str, token: str) -> Hook:
        """A project webhook."""
        hook = Hook(self.numbers.next("hook"), url, token)
        project.hooks.append(hook)
        return hook

    # --- pushing -------------------------------------------------------------------------------------------------------
    def push(
        self,
        account: Account,
        project: Project,
        branch: str,
        files: Mapping[str, bare.Content],
        *,
        message: str = "a change",
        start: str | None = None,
        author: str | None = None,
        when: datetime | None = None,
    ) -> str:
        """One commit pushed by an account.

        `start` is the commit or branch to build on (the branch itself when it exists, else main); `author` ("name <e-mail>")
        and `when` are what the commit claims, which anybody may forge.

        Raises:
            Refused: the account may not push there.
        """
        with self.lock:
            self.check_push(account, project, branch)
            old = bare.tip(project.bare, f"refs/heads/{branch}")
            base = start or (branch if old else "main")
            name, _, email = (author or f"{account.username} <{account.email}>").partition(" <")
            claimed = bare.person(name, email.rstrip(">"), when)
            new = bare.commit(project.bare, branch, bare.tip(project.bare, base), files, claimed, message)
            self.pushed(account, project, {f"refs/heads/{branch}": (old, new)})
            return new

    def push_commit(self, account: Account, project: Project, branch: str, sha: str) -> None:
        """Push a commit that is there already: a new branch, a fast-forward, or with `--force` anything.

        Raises:
            Refused: the account may not push there.
        """
        with self.lock:
            self.check_push(account, project, branch)
            old = bare.tip(project.bare, f"refs/heads/{branch}")
            bare.git(project.bare, "update-ref", f"refs/heads/{branch}", sha)
            self.pushed(account, project, {f"refs/heads/{branch}": (old, sha)})

    def check_push(self, account: Account, project: Project, branch: str) -> None:
        """Whether an account may push to a branch."""
        if branch in self.forbidden(account, project):
            raise Refused(403, "You are not allowed to push code to protected branches on this project.")
        if project.role(account) < Role.DEVELOPER:
            raise Refused(403, "You are not allowed to push code to this project.")

    def forbidden(self, account: Account, project: Project) -> list[str]:
        """The protected branches that an account may not push to."""
        role = project.role(account)
        return [
            name
            for name, rule in project.protected.items()
            if account.id not in rule.pushers and (rule.push == Role.NONE or role < rule.push)
        ]

    def delete_branch(self, account: Account, project: Project, branch: str) -> None:
        """Remove a branch."""
        with self.lock:
            old = bare.tip(project.bare, f"refs/heads/{branch}")
            bare.git(project.bare, "update-ref", "-d", f"refs/heads/{branch}")
            self.pushed(account, project, {f"refs/heads/{branch}": (old, None)})

    def pushed(self, account: Account, project: Project, changed: Mapping[str, tuple[str | None, str | None]]) -> None:
        """What follows a push: events, new diff versions of open merge requests, webhooks."""
        with self.lock:
            now = self.clock.now()
            bulk = len(changed) > 3  # docs: administration/settings/push_event_activities_limit
            if bulk:
                project.events.append(Push(self.numbers.next("event"), account, None, "branch", None, None, now))
            for ref, (before, after) in changed.items():
                kind, _, name = ref.removeprefix("refs/").partition("/")
                if not bulk:
                    ref_type = "branch" if kind == "heads" else "tag"
                    number = self.numbers.next("event")
                    project.events.append(Push(number, account, name, ref_type, before, after, now))
                if kind == "heads":
                    self.webhooks.push(account, project, name, before, after)
                    self._update_merges(account, project, name, after)

    def _update_merges(self, account: Account, source: Project, branch: str, head: str | None) -> None:
        for project in self.projects.values():
            for merge in project.merges.values():
                if head and (merge.source, merge.source_branch, merge.state) == (source, branch, "opened"):
                    before, merge.head = merge.head, head
                    self._add_version(project, merge)
                    self.system_note(merge, account, f"added 1 commit\n\n<ul><li>{head[:8]} - a change</li></ul>")
                    if project.reset_approvals_on_push:
                        merge.approvals.clear()
                    self.webhooks.merge(account, project, merge, "update", oldrev=before)

    # --- merge requests ------------------------------------------------------------------------------------------------
    def open(
        self,
        account: Account,
        project: Project,
        branch: str,
        *,
        title: str = "An experiment",
        description: str = "",
        target: str = "main",
        source: Project | None = None,
    ) -> Merge:
        """Open a merge request.

        Raises:
            Refused: 403 without the role, 409 when the branch has an open one, 400 without such a branch.
        """
        with self.lock:
            origin = source or project
            if origin.role(account) < Role.DEVELOPER or project.role(account) < Role.GUEST:
                raise Refused(403, "403 Forbidden")
            head = bare.tip(origin.bare, f"refs/heads/{branch}")
            if head is None or bare.tip(project.bare, f"refs/heads/{target}") is None:
                raise Refused(400, "source branch or target branch does not exist")
            for other in project.merges.values():
                if (other.source, other.source_branch, other.target_branch, other.state) == (
                    origin,
                    branch,
                    target,
                    "opened",
                ):
                    raise Refused(
                        409, f"Another open merge request already exists for this source branch: !{other.iid}"
                    )
            iid = max(project.merges, default=0) + 1
            now = self.clock.now()
            merge = Merge(
                self.numbers.next("merge"), iid, title, description, account, origin, branch, target, now, now, head
            )
            project.merges[iid] = merge
            self._add_version(project, merge)
            self.webhooks.merge(account, project, merge, "open")
            return merge

    def _add_version(self, project: Project, merge: Merge) -> None:
        if merge.source is not project:
            bare.git(project.bare, "fetch", "-q", str(merge.source.bare), merge.head)
        bare.git(project.bare, "update-ref", f"refs/merge-requests/{merge.iid}/head", merge.head)
        start = bare.git(project.bare, "rev-parse", f"refs/heads/{merge.target_branch}")
        base = bare.git(project.bare, "merge-base", start, merge.head)
        merge.updated_at = self.clock.now()
        merge.commits = bare.git(project.bare, "rev-list", f"{base}..{merge.head}").split()
        merge.versions.append(Version(self.numbers.next("version"), merge.head, base, start, merge.updated_at))

    def approve(self, account: Account, project: Project, merge: Merge, sha: str | None = None) -> None:
        """Approve; `sha` is the head that the approver saw.

        Raises:
            Refused: 401 for those who may not or already do, 409 when the head is another.
        """
        with self.lock:
            if sha not in {None, merge.head}:
                raise Refused(409, f"SHA does not match HEAD of source branch: {merge.head}")
            if project.role(account) < Role.DEVELOPER or account.id in merge.approvals:
                raise Refused(401, "401 Unauthorized")
            if account is merge.author and project.approval_settings.get("merge_requests_author_approval") is False:
                raise Refused(401, "401 Unauthorized")
            merge.approvals[account.id] = (account, self.clock.now())
            merge.updated_at = self.clock.now()
            self.system_note(merge, account, "approved this merge request")
            self.webhooks.merge(account, project, merge, "approved")

    def unapprove(self, account: Account, project: Project, merge: Merge) -> None:
        """Take the approval back."""
        with self.lock:
            if merge.approvals.pop(account.id, None) is None:
                raise Refused(404, "404 Not found")
            self.system_note(merge, account, "unapproved this merge request")
            self.webhooks.merge(account, project, merge, "unapproved")

    def merge(
        self, account: Account, project: Project, merge: Merge, how: str | None = None, sha: str | None = None
    ) -> str:
        """Merge by `merge`, `squash`, `ff` or `squash-ff` (the project's own way when omitted); main's new commit.

        Raises:
            Refused: 401 for those who may not, 405 when it is not open or conflicts, 409 when the head is another.
        """
        with self.lock:
            rule = project.protected.get(merge.target_branch, Protection(merge=Role.DEVELOPER))
            if project.role(account) < max(rule.merge, Role.DEVELOPER):
                raise Refused(401, "401 Unauthorized")
            if merge.state != "opened":
                raise Refused(405, "405 Method Not Allowed")
            if sha not in {None, merge.head}:
                raise Refused(409, f"SHA does not match HEAD of source branch: {merge.head}")
            before = bare.tip(project.bare, merge.target_branch)
            by = bare.person(account.username, account.email, self.clock.now())
            way = how or {"merge": "merge", "ff": "ff", "rebase_merge": "merge"}[project.merge_method]
            message = f"branch '{merge.source_branch}' into '{merge.target_branch}'\n\n{merge.title}\n\nSee merge request {project.path}!{merge.iid}"
            try:
                merge.merge_commit, merge.squash_commit = bare.merge(
                    project.bare, merge.target_branch, merge.head, by, message, way
                )
            except bare.Conflict as conflict:
                raise Refused(405, f"405 Method Not Allowed: {conflict}") from None
            now = self.clock.now()
            merge.state, merge.merged_at, merge.merged_by, merge.updated_at = "merged", now, account, now
            after = bare.git(project.bare, "rev-parse", f"refs/heads/{merge.target_branch}")
            self.webhooks.merge(account, project, merge, "merge")
            self.pushed(account, project, {f"refs/heads/{merge.target_branch}": (before, after)})
            if merge.remove_source_branch and bare.tip(merge.source.bare, merge.source_branch):
                self.delete_branch(account, merge.source, merge.source_branch)
            return after

    def close(self, account: Account, project: Project, merge: Merge) -> None:
        """Close without merging."""
        with self.lock:
            merge.state = "closed"
            merge.updated_at = self.clock.now()
            self.webhooks.merge(account, project, merge, "close")

    # --- comments ------------------------------------------------------------------------------------------------------
    def note(self, account: Account, project: Project, merge: Merge, body: str) -> Note:
        """Write a comment; quick actions and mentions outside code take effect, as in GitLab: they are listed."""
        with self.lock:
            if project.role(account) < Role.GUEST:
                raise Refused(403, "403 Forbidden")
            if len(body) > MAX_NOTE or not body.strip():
                raise Refused(400, "400 Bad request - Note is too long (maximum is 1000000 characters) or empty")
            note = self._note(merge, account, self._effects(body), system=False)
            self.webhooks.note(account, project, merge, note)
            return note

    def edit_note(self, account: Account, project: Project, note: Note, body: str) -> Note:
        """Change a comment: its author, or a maintainer."""
        with self.lock:
            if account is not note.author and project.role(account) < Role.MAINTAINER:
                raise Refused(403, "403 Forbidden")
            note.body, note.updated_at = self._effects(body), self.clock.now()
            return note

    def delete_note(self, account: Account, project: Project, merge: Merge, note: Note) -> None:
        """Delete a comment: its author, or a maintainer."""
        with self.lock:
            if account is not note.author and project.role(account) < Role.MAINTAINER:
                raise Refused(403, "403 Forbidden")
            merge.notes.remove(note)

    def system_note(self, merge: Merge, account: Account, body: str) -> Note:
        """A line of the history."""
        return self._note(merge, account, body, system=True)

    def _note(self, merge: Merge, account: Account, body: str, *, system: bool) -> Note:
        now = self.clock.now()
        note = Note(self.numbers.next("note"), account, body, system, now, now)
        merge.notes.append(note)
        return note

    def _effects(self, body: str) -> str:
        prose = _CODE.sub("", body)
        self.quick_actions += _QUICK_ACTION.findall(prose)
        self.mentions += _MENTION.findall(prose)
        return body
