"""What one webhook asks for; nothing in it decides anything, the work reads everything again from GitLab and git.

Events: https://docs.gitlab.com/user/project/integrations/webhook_events/; headers: .../integrations/webhooks/.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import Any

MAIN = "refs/heads/main"
# What open merge requests' reports depend on besides their own files.
SHARED = ("catalog/", "environments/", "tenants/", "base/")
Wanted = list[tuple[str, str]]


def is_ours(given: str | None, secret: str) -> bool:
    """Whether the token is the webhook's; the time that it takes tells nothing about it."""
    one, other = (hashlib.sha256(text.encode(errors="replace")).digest() for text in (given or "", secret))
    return hmac.compare_digest(one, other)


def delivery(headers: Mapping[str, str]) -> str | None:
    """What GitLab's repetitions of a webhook share; None when it names nothing."""
    named = headers.get("idempotency-key") or headers.get("x-gitlab-event-uuid")
    return hashlib.sha256(named.encode(errors="replace")).hexdigest() if named else None


def wanted(event: Mapping[str, Any], project_id: int) -> Wanted:
    """The tasks (kind, key) of an event; none for another project or what the bot does not follow.

    Raises:
        ValueError: it is not what GitLab documents.
    """
    try:
        return _wanted(event, project_id)
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{type(error).__name__} in the event") from None


def _wanted(event: Mapping[str, Any], project_id: int) -> Wanted:
    if int(event["project"]["id"]) != project_id:
        return []
    match event["object_kind"]:
        case "merge_request":
            return _merge_request(event["object_attributes"])
        case "push":
            return _push(event)
    return []


def _merge_request(attributes: Mapping[str, Any]) -> Wanted:
    if attributes["target_branch"] != "main":
        return []
    found = [("report", str(int(attributes["iid"])))]
    # Merged: GitLab may tell of the push before it knows the merge request as merged.
    return [*found, ("authorize", "")] if attributes.get("action") == "merge" else found


def _push(event: Mapping[str, Any]) -> Wanted:
    if event["ref"] != MAIN:
        return []
    commits = event.get("commits") or []
    told = int(event.get("total_commits_count") or 0) <= len(commits)
    shared = not told or any(path.startswith(SHARED) for path in _paths(commits))
    return [("authorize", ""), *([("report-open", "")] if shared else [])]


def _paths(commits: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    for commit in commits:
        for kind in ("added", "modified", "removed"):
            yield from (str(path) for path in commit.get(kind) or [])
