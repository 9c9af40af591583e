"""Project webhooks, sent by a thread of their own as GitLab's background workers do.

docs: user/project/integrations/webhooks.md (headers) and webhook_events.md (bodies).
"""

from __future__ import annotations

import json
import queue
import threading
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.gitlab import bare
from tests.gitlab.model import Account, Merge, Note, Project

if TYPE_CHECKING:
    from tests.gitlab.standin import GitLab

ZEROS = "0" * 40
SHOWN_COMMITS = 20  # docs: push events name the newest 20


@dataclass
class Delivery:
    """One webhook; `status` is None while it is under way and 0 when nobody answered."""

    url: str
    headers: dict[str, str]
    body: bytes
    status: int | None = None


class Webhooks:
    """Sends what happens; with `lost` set it forgets instead, as GitLab does when it is down."""

    def __init__(self, server: GitLab) -> None:
        self.lost = False
        self.deliveries: list[Delivery] = []
        self._server = server
        self._queue: queue.Queue[Delivery | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """Send what waits, then end."""
        self._queue.put(None)
        self._thread.join(timeout=30)

    def push(self, account: Account, project: Project, branch: str, before: str | None, after: str | None) -> None:
        """A push event."""
        commits = bare.commits(project.bare, before, after)
        body = {
            "object_kind": "push",
            "event_name": "push",
            "before": before or ZEROS,
            "after": after or ZEROS,
            "checkout_sha": after,
            "ref": f"refs/heads/{branch}",
            "user_id": account.id,
            "user_username": account.username,
            "project_id": project.id,
            "project": _project(project),
            "commits": commits[:SHOWN_COMMITS],
            "total_commits_count": len(commits),
        }
        self._send(project, "push", "Push Hook", body)

    def merge(self, account: Account, project: Project, merge: Merge, action: str, oldrev: str | None = None) -> None:
        """A merge request event: open, update, approved, unapproved, merge, close."""
        attributes = _attributes(project, merge)
        attributes["action"] = action
        if oldrev:
            attributes["oldrev"] = oldrev
        body = {
            "object_kind": "merge_request",
            "event_type": "merge_request",
            "user": {"id": account.id, "username": account.username, "name": account.username},
            "project": _project(project),
            "object_attributes": attributes,
            "changes": {},
        }
        self._send(project, "merge_request", "Merge Request Hook", body)

    def note(self, account: Account, project: Project, merge: Merge, note: Note) -> None:
        """A comment event."""
        body = {
            "object_kind": "note",
            "event_type": "note",
            "user": {"id": account.id, "username": account.username},
            "project_id": project.id,
            "project": _project(project),
            "object_attributes": {"id": note.id, "note": note.body, "noteable_type": "MergeRequest"},
            "merge_request": _attributes(project, merge),
        }
        self._send(project, "note", "Note Hook", body)

    def redeliver(self, delivery: Delivery) -> Delivery:
        """Send the same again, as `Resend Request` does: a new event UUID, the same Idempotency-Key."""
        again = Delivery(delivery.url, {**delivery.headers, "X-Gitlab-Event-UUID": str(uuid.uuid4())}, delivery.body)
        self.deliveries.append(again)
        self._queue.put(again)
        return again

    def _send(self, project: Project, kind: str, event: str, body: dict[str, Any]) -> None:
        for hook in project.hooks:
            if kind not in hook.events or self.lost:
                continue
            headers = {
                "Content-Type": "application/json",
                "User-Agent": "GitLab/18.0.0",
                "X-Gitlab-Instance": self._server.url,
                "X-Gitlab-Webhook-UUID": str(uuid.uuid4()),
                "X-Gitlab-Event": event,
                "X-Gitlab-Event-UUID": str(uuid.uuid4()),
                "Idempotency-Key": str(uuid.uuid4()),
                "X-Gitlab-Token": hook.token,
            }
            delivery = Delivery(hook.url, headers, json.dumps(body).encode())
            self.deliveries.append(delivery)
            self._queue.put(delivery)

    def _work(self) -> None:
        while (delivery := self._queue.get()) is not None:
            request = urllib.request.Request(delivery.url, delivery.body, delivery.headers, method="POST")
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    delivery.status = answer.status
            except urllib.error.HTTPError as error:
                delivery.status = error.code
            except OSError:
                delivery.status = 0


def _project(project: Project) -> dict[str, Any]:
    return {"id": project.id, "path_with_namespace": project.path, "default_branch": "main"}


def _attributes(project: Project, merge: Merge) -> dict[str, Any]:
    return {
        "id": merge.id,
        "iid": merge.iid,
        "title": merge.title,
        "state": merge.state,
        "source_branch": merge.source_branch,
        "target_branch": merge.target_branch,
        "source_project_id": merge.source.id,
        "target_project_id": project.id,
        "author_id": merge.author.id,
        "merge_commit_sha": merge.merge_commit,
        "last_commit": {"id": merge.head},
    }
