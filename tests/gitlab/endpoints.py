"""The REST endpoints, each with the page of GitLab's documentation (doc/...) that its fields and status codes come from."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tests.gitlab import bare, smarthttp, views
from tests.gitlab.model import Account, Merge, Note, Project, Role
from tests.gitlab.wire import Call, Refused, Request, Response

if TYPE_CHECKING:
    from tests.gitlab.standin import GitLab

Endpoint = Callable[..., Any]
ROUTES: list[tuple[str, re.Pattern[str], Endpoint]] = []
PROJECT, MERGE = r"/projects/([^/]+)", r"/projects/([^/]+)/merge_requests/(\d+)"


def route(method: str, pattern: str, page: str) -> Callable[[Endpoint], Endpoint]:
    """Register an endpoint below /api/v4; `page` is its documentation."""
    assert page.endswith(".md"), page

    def register(endpoint: Endpoint) -> Endpoint:
        ROUTES.append((method, re.compile(f"/api/v4{pattern}"), endpoint))
        return endpoint

    return register


def respond(gitlab: GitLab, request: Request, call: Call) -> Response:
    """The answer to one request."""
    with gitlab.lock:
        request.account = _account(gitlab, request)
    if ".git/" in request.path:
        call.git = True
        return smarthttp.respond(gitlab, request, call)
    with gitlab.lock:
        # docs: ci/secrets/id_token_authentication.md; no login needed.
        if request.path == "/oauth/discovery/keys":
            return Response(gitlab.issuer.keys())
        if request.account is None:
            raise Refused(401, "401 Unauthorized")
        call.user = request.account.username
        _check_scope(request)
        for method, pattern, endpoint in ROUTES:
            if method == request.method and (match := pattern.fullmatch(request.path)):
                made = endpoint(gitlab, request, *match.groups())
                return made if isinstance(made, Response) else Response(made)
    raise Refused(404, "404 Not Found")


def _account(gitlab: GitLab, request: Request) -> Account | None:
    """docs: api/rest/authentication.md: PRIVATE-TOKEN, Bearer, or as git sends it, a password."""
    token = request.headers.get("PRIVATE-TOKEN") or request.headers.get("Authorization", "").removeprefix("Bearer ")
    if token.startswith("Basic "):
        token = base64.b64decode(token.removeprefix("Basic ")).decode().partition(":")[2]
    found = next((each for each in gitlab.accounts.values() if token and each.token == token), None)
    if token and (found is None or found.revoked):
        raise Refused(
            401, "Token was revoked. You have to re-authorize from the user." if found else "401 Unauthorized"
        )
    return found


def _check_scope(request: Request) -> None:
    assert request.account is not None
    allowed = {"api"} if request.method != "GET" else {"api", "read_api"}
    if not allowed & set(request.account.scopes) and request.path != "/api/v4/personal_access_tokens/self":
        raise Refused(
            403, "insufficient_scope: The request requires higher privileges than provided by the access token."
        )


def _project(gitlab: GitLab, request: Request, number: str, role: Role = Role.GUEST) -> Project:
    """A project that the account may see (404 otherwise) and where it has a role (403 otherwise)."""
    wanted = number.replace("%2F", "/")
    project = next((each for each in gitlab.projects.values() if wanted in {str(each.id), each.path}), None)
    if project is None or (project.visibility == "private" and project.role(request.account) < Role.GUEST):
        raise Refused(404, "404 Project Not Found")
    if project.role(request.account) < role and not (role == Role.GUEST and project.visibility != "private"):
        raise Refused(403, "403 Forbidden")
    return project


def _merge(gitlab: GitLab, request: Request, number: str, iid: str, role: Role = Role.GUEST) -> tuple[Project, Merge]:
    project = _project(gitlab, request, number, role)
    if int(iid) not in project.merges:
        raise Refused(404, "404 Not found")
    return project, project.merges[int(iid)]


# --- people -----------------------------------------------------------------------------------------------------------
@route("GET", "/user", "api/users.md")
def me(gitlab: GitLab, request: Request) -> Any:
    """The token's account."""
    assert request.account is not None
    return views.user(gitlab, request.account)


@route("GET", "/users", "api/users.md")
def users(gitlab: GitLab, request: Request) -> Any:
    """All accounts, or the one of `username`."""
    name = request.query.get("username")
    return [views.user(gitlab, each) for each in gitlab.accounts.values() if name in {None, each.username}]


@route("GET", r"/users/(\d+)", "api/users.md")
def one_user(gitlab: GitLab, _request: Request, number: str) -> Any:
    """An account."""
    if int(number) not in gitlab.accounts:
        raise Refused(404, "404 User Not Found")
    return views.user(gitlab, gitlab.accounts[int(number)])


@route("GET", "/version", "api/version.md")
def version(_gitlab: GitLab, _request: Request) -> Any:
    """The server's version."""
    return {"version": "18.5.0-ee", "revision": "0000000"}


@route("GET", "/personal_access_tokens/self", "api/personal_access_tokens.md")
def own_token(gitlab: GitLab, request: Request) -> Any:
    """What the token may do."""
    assert request.account is not None
    moment = views.time(gitlab.clock.now())
    return {
        "id": request.account.id,
        "name": "the bot",
        "revoked": False,
        "created_at": moment,
        "scopes": list(request.account.scopes),
        "user_id": request.account.id,
        "active": True,
        "expires_at": "2099-01-01",
    }


# --- projects ---------------------------------------------------------------------------------------------------------
@route("GET", PROJECT, "api/projects.md")
def one_project(gitlab: GitLab, request: Request, number: str) -> Any:
    """A project."""
    return views.project(gitlab, _project(gitlab, request, number))


@route("GET", f"{PROJECT}/members/all", "api/members.md")
def members(gitlab: GitLab, request: Request, number: str) -> Any:
    """Members with their roles."""
    project = _project(gitlab, request, number)
    return [{**views.user(gitlab, each), "access_level": int(project.role(each))} for each in project.accounts.values()]


@route("GET", f"{PROJECT}/members/all/(\\d+)", "api/members.md")
def member(gitlab: GitLab, request: Request, number: str, who: str) -> Any:
    """One member."""
    project = _project(gitlab, request, number)
    if int(who) not in project.accounts:
        raise Refused(404, "404 Not found")
    account = project.accounts[int(who)]
    return {**views.user(gitlab, account), "access_level": int(project.role(account))}


@route("GET", f"{PROJECT}/protected_branches", "api/protected_branches.md")
def protected_branches(gitlab: GitLab, request: Request, number: str) -> Any:
    """Protected branches."""
    project = _project(gitlab, request, number, Role.DEVELOPER)
    return [views.protected(name, rule) for name, rule in project.protected.items()]


@route("GET", f"{PROJECT}/protected_branches/([^/]+)", "api/protected_branches.md")
def protected_branch(gitlab: GitLab, request: Request, number: str, name: str) -> Any:
    """One protected branch."""
    project = _project(gitlab, request, number, Role.DEVELOPER)
    if (branch := name.replace("%2F", "/")) not in project.protected:
        raise Refused(404, "404 Not found")
    return views.protected(branch, project.protected[branch])


@route("GET", f"{PROJECT}/protected_tags", "api/protected_tags.md")
def protected_tags(gitlab: GitLab, request: Request, number: str) -> Any:
    """Protected tags."""
    return _project(gitlab, request, number, Role.MAINTAINER).protected_tags


@route("GET", f"{PROJECT}/hooks", "api/project_webhooks.md")
def hooks(gitlab: GitLab, request: Request, number: str) -> Any:
    """Webhooks."""
    return [views.hook(each) for each in _project(gitlab, request, number, Role.MAINTAINER).hooks]


@route("GET", f"{PROJECT}/variables", "api/project_level_variables.md")
def variables(gitlab: GitLab, request: Request, number: str) -> Any:
    """CI/CD variables."""
    return _project(gitlab, request, number, Role.MAINTAINER).variables


@route("GET", f"{PROJECT}/job_token_scope", "api/project_job_token_scopes.md")
def job_token_scope(gitlab: GitLab, request: Request, number: str) -> Any:
    """Whose job tokens get in."""
    return _project(gitlab, request, number, Role.MAINTAINER).job_token_scope


@route("GET", f"{PROJECT}/runners", "api/runners.md")
def project_runners(gitlab: GitLab, request: Request, number: str) -> Any:
    """Runners that take the project's jobs."""
    return _project(gitlab, request, number, Role.MAINTAINER).runners


def _premium(project: Project) -> Project:
    if project.tier == "free":
        raise Refused(404, "404 Not Found")
    return project


@route("GET", f"{PROJECT}/approvals", "api/merge_request_approvals.md")
def approval_settings(gitlab: GitLab, request: Request, number: str) -> Any:
    """Approval settings (Premium)."""
    project = _premium(_project(gitlab, request, number, Role.DEVELOPER))
    return {
        "approvals_before_merge": 0,
        "reset_approvals_on_push": project.reset_approvals_on_push,
        "selective_code_owner_removals": False,
        "disable_overriding_approvers_per_merge_request": False,
        "merge_requests_author_approval": True,
        "merge_requests_disable_committers_approval": False,
        "require_password_to_approve": False,
        **project.approval_settings,
    }


@route("GET", f"{PROJECT}/approval_rules", "api/merge_request_approvals.md")
def approval_rules(gitlab: GitLab, request: Request, number: str) -> Any:
    """Approval rules (Premium)."""
    return _premium(_project(gitlab, request, number, Role.DEVELOPER)).approval_rules


@route("GET", f"{PROJECT}/push_rule", "api/project_push_rules.md")
def push_rule(gitlab: GitLab, request: Request, number: str) -> Any:
    """Push rules (Premium)."""
    return _premium(_project(gitlab, request, number, Role.MAINTAINER)).push_rule


@route("GET", f"{PROJECT}/repository/branches/([^/]+)", "api/branches.md")
def branch(gitlab: GitLab, request: Request, number: str, name: str) -> Any:
    """One branch."""
    project = _project(gitlab, request, number, Role.REPORTER)
    plain = name.replace("%2F", "/")
    tip = bare.tip(project.bare, f"refs/heads/{plain}")
    if tip is None:
        raise Refused(404, "404 Branch Not Found")
    return {"name": plain, "commit": {"id": tip}, "protected": plain in project.protected, "default": plain == "main"}


@route("GET", f"{PROJECT}/repository/commits/([0-9a-f]+)/merge_requests", "api/commits.md")
def merges_of_commit(gitlab: GitLab, request: Request, number: str, sha: str) -> Any:
    """Merge requests related to a commit: it is among their commits, or is their merge or squash commit."""
    project = _project(gitlab, request, number, Role.REPORTER)
    if bare.tip(project.bare, sha) is None:
        raise Refused(404, "404 Commit Not Found")
    return [
        views.merge(gitlab, project, each)
        for each in project.merges.values()
        if sha in {*each.commits, each.merge_commit, each.squash_commit}
    ]


@route("GET", f"{PROJECT}/events", "api/events.md")
def events(gitlab: GitLab, request: Request, number: str) -> Any:
    """Push events; `after` and `before` name days, which they leave out themselves."""
    project = _project(gitlab, request, number)
    found = [
        each
        for each in project.events
        if each.created_at.date().isoformat() > request.query.get("after", "")
        and each.created_at.date().isoformat() < request.query.get("before", "9")
        and request.query.get("action", "pushed") == "pushed"
    ]
    ordered = found if request.query.get("sort") == "asc" else found[::-1]
    return [views.event(gitlab, project, each) for each in ordered]


# --- merge requests ---------------------------------------------------------------------------------------------------
@route("GET", f"{PROJECT}/merge_requests", "api/merge_requests.md")
def merges(gitlab: GitLab, request: Request, number: str) -> Any:
    """Merge requests of a project, filtered."""
    project, query = _project(gitlab, request, number), request.query
    since = datetime.fromisoformat(query["updated_after"]) if "updated_after" in query else None
    found = [
        each
        for each in project.merges.values()
        if query.get("state", "all") in {"all", each.state}
        and query.get("source_branch", each.source_branch) == each.source_branch
        and query.get("target_branch", each.target_branch) == each.target_branch
        and (since is None or each.updated_at >= since)
    ]
    ordered = found if query.get("sort") == "asc" else found[::-1]
    return [views.merge(gitlab, project, each) for each in ordered]


@route("POST", f"{PROJECT}/merge_requests", "api/merge_requests.md")
def create_merge(gitlab: GitLab, request: Request, number: str) -> Any:
    """Open a merge request."""
    project, body = _project(gitlab, request, number), request.body
    assert request.account is not None
    made = gitlab.open(
        request.account, project, body["source_branch"], title=body["title"],
        description=body.get("description", ""), target=body["target_branch"],
    )  # fmt: skip
    made.remove_source_branch = bool(body.get("remove_source_branch"))
    return Response(views.one_merge(gitlab, project, made), 201)


@route("GET", MERGE, "api/merge_requests.md")
def one_merge(gitlab: GitLab, request: Request, number: str, iid: str) -> Any:
    """One merge request."""
    return views.one_merge(gitlab, *_merge(gitlab, request, number, iid))


@route("PUT", MERGE, "api/merge_requests.md")
def update_merge(gitlab: GitLab, request: Request, number: str, iid: str) -> Any:
    """Change the title, the description or the state."""
    project, merge = _merge(gitlab, request, number, iid, Role.DEVELOPER)
    assert request.account is not None
    if request.body.get("state_event") == "close":
        gitlab.close(request.account, project, merge)
    merge.title = request.body.get("title", merge.title)
    merge.description = request.body.get("description", merge.description)
    return views.one_merge(gitlab, project, merge)


@route("PUT", f"{MERGE}/merge", "api/merge_requests.md")
def accept_merge(gitlab: GitLab, request: Request, number: str, iid: str) -> Any:
    """Merge."""
    project, merge = _merge(gitlab, request, number, iid)
    assert request.account is not None
    way = "squash" if request.body.get("squash") else None
    gitlab.merge(request.account, project, merge, way, request.body.get("sha"))
    return views.one_merge(gitlab, project, merge)


@route("GET", f"{MERGE}/versions", "api/merge_requests.md")
def merge_versions(gitlab: GitLab, request: Request, number: str, iid: str) -> Any:
    """Diff versions, newest first."""
    _, merge = _merge(gitlab, request, number, iid)
    return [views.version(each, merge) for each in reversed(merge.versions)]


@route("GET", f"{MERGE}/approvals", "api/merge_request_approvals.md")
def merge_approvals(gitlab: GitLab, request: Request, number: str, iid: str) -> Any:
    """Who approves."""
    return views.approvals(gitlab, *_merge(gitlab, request, number, iid))


@route("POST", f"{MERGE}/approve", "api/merge_request_approvals.md")
def approve(gitlab: GitLab, request: Request, number: str, iid: str) -> Any:
    """Approve."""
    project, merge = _merge(gitlab, request, number, iid)
    assert request.account is not None
    gitlab.approve(request.account, project, merge, request.body.get("sha"))
    return Response(views.approvals(gitlab, project, merge), 201)


@route("POST", f"{MERGE}/unapprove", "api/merge_request_approvals.md")
def unapprove(gitlab: GitLab, request: Request, number: str, iid: str) -> Any:
    """Take an approval back."""
    project, merge = _merge(gitlab, request, number, iid)
    assert request.account is not None
    gitlab.unapprove(request.account, project, merge)
    return Response(None, 201)


# --- comments ---------------------------------------------------------------------------------------------------------
def _note(merge: Merge, number: str) -> Note:
    found = next((each for each in merge.notes if each.id == int(number)), None)
    if found is None:
        raise Refused(404, "404 Not found")
    return found


@route("GET", f"{MERGE}/notes", "api/notes.md")
def notes(gitlab: GitLab, request: Request, number: str, iid: str) -> Any:
    """Comments and system notes; newest first unless asked otherwise."""
    project, merge = _merge(gitlab, request, number, iid)
    ordered = merge.notes if request.query.get("sort") == "asc" else merge.notes[::-1]
    return [views.note(gitlab, project, merge, each) for each in ordered]


@route("POST", f"{MERGE}/notes", "api/notes.md")
def create_note(gitlab: GitLab, request: Request, number: str, iid: str) -> Any:
    """Comment."""
    project, merge = _merge(gitlab, request, number, iid)
    assert request.account is not None
    made = gitlab.note(request.account, project, merge, request.body.get("body", ""))
    return Response(views.note(gitlab, project, merge, made), 201)


@route("GET", f"{MERGE}/notes/(\\d+)", "api/notes.md")
def one_note(gitlab: GitLab, request: Request, number: str, iid: str, note: str) -> Any:
    """One comment."""
    project, merge = _merge(gitlab, request, number, iid)
    return views.note(gitlab, project, merge, _note(merge, note))


@route("PUT", f"{MERGE}/notes/(\\d+)", "api/notes.md")
def edit_note(gitlab: GitLab, request: Request, number: str, iid: str, note: str) -> Any:
    """Change a comment."""
    project, merge = _merge(gitlab, request, number, iid)
    assert request.account is not None
    changed = gitlab.edit_note(request.account, project, _note(merge, note), request.body.get("body", ""))
    return views.note(gitlab, project, merge, changed)


@route("DELETE", f"{MERGE}/notes/(\\d+)", "api/notes.md")
def delete_note(gitlab: GitLab, request: Request, number: str, iid: str, note: str) -> Any:
    """Delete a comment."""
    project, merge = _merge(gitlab, request, number, iid)
    assert request.account is not None
    gitlab.delete_note(request.account, project, merge, _note(merge, note))
    return Response(status=204)


# --- artifacts --------------------------------------------------------------------------------------------------------
@route("GET", f"{PROJECT}/jobs/artifacts/([^/]+)/raw/(.+)", "api/job_artifacts.md")
def artifact(gitlab: GitLab, request: Request, number: str, ref: str, path: str) -> Any:
    """One file of a job's artifacts; Workhorse takes the type from the file's name."""
    project = _project(gitlab, request, number, Role.REPORTER)
    found = project.artifacts.get((ref, request.query.get("job", ""), path))
    if found is None:
        raise Refused(404, "404 Not Found")
    kind = "application/json" if path.endswith(".json") else "application/octet-stream"
    return Response(content=found, type=kind)
