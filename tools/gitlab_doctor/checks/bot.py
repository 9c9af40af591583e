"""The bot's own token and how it hears of events.

Sources: GitLab's documentation, api/personal_access_tokens.md, api/project_webhooks.md, user/project/integrations/webhooks.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from tools.examining import Result, judged, unseen, wrong
from tools.gitlab_doctor.project import Project

_SOON = timedelta(days=21)
_ENOUGH = {"api", "read_api", "write_repository", "read_repository"}
_EVENTS = {"push_events": "Push events", "merge_requests_events": "Merge request events"}


def token(project: Project) -> Iterator[Result]:
    """The token that asks: no more scopes than the work needs, and not about to end."""
    found = dict(project.forge.get("/personal_access_tokens/self"))
    excess = sorted(set(found.get("scopes") or []) - _ENOUGH)
    remedy = "Settings > Access tokens > Add new token: role Maintainer, scope api; revoke this one"
    yield judged("token", "scopes of this token", ", ".join(excess), "api", remedy, holds=not excess)
    end = str(found.get("expires_at") or "")
    if not end:
        yield judged("token", "end of this token", "never", "a year at most", remedy, holds=False)
        return
    left = date.fromisoformat(end[:10]) - datetime.now(UTC).date()
    change = f"make a new one in time and put it into the bot's token file: {remedy}"
    yield judged("token", "end of this token", end[:10], "more than three weeks", change, holds=left > _SOON)


def webhook(project: Project) -> Iterator[Result]:
    """The webhook: the bot hears of every event at once."""
    place, number = "Settings > Webhooks", project.id
    if project.url is None:
        why = "--bot-url was not given; without `ft bot serve` a scheduled pipeline of an admin-only project does the work"
        yield unseen("webhook", "webhook", why, "give --bot-url https://... to have it checked")
        return
    mine = [hook for hook in project.all("hooks") if str(hook.get("url", "")).startswith(project.url.rstrip("/"))]
    if not mine:
        remedy = f"{place} > Add new webhook: {project.url.rstrip('/')}/webhook with a secret token (API: POST /projects/{number}/hooks)"
        yield wrong("webhook", "webhook", f"none to {project.url}", "one", remedy)
    for hook in mine:
        subject, api = f"webhook {hook.get('url')}", f"API: PUT /projects/{number}/hooks/{hook.get('id')}"
        for name, title in _EVENTS.items():
            remedy = f"{place} > {title} ({api} {name}=true)"
            yield judged("webhook", f"{subject}: {title}", "off", "on", remedy, holds=hook.get(name) is True)
        yield judged(
            "webhook-tls",
            subject,
            "not verified",
            "https with a verified certificate",
            f"{place} > Enable SSL verification ({api} enable_ssl_verification=true)",
            holds=str(hook.get("url")).startswith("https://") and hook.get("enable_ssl_verification") is True,
        )
        why = "GitLab shows no webhook's secret token"
        yield unseen("webhook-token", subject, why, "the bot answers 401 to a wrong one: see its /metrics")
