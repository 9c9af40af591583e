"""Git over HTTP, by git's own server program; what GitLab adds are tokens, protected branches and push events.

docs: gitprotocol-http(5), git-http-backend(1).
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from tests.gitlab import bare
from tests.gitlab.model import Project, Role
from tests.gitlab.wire import Call, Refused, Request, Response

if TYPE_CHECKING:
    from tests.gitlab.standin import GitLab


def respond(gitlab: GitLab, request: Request, call: Call) -> Response:
    """One request of a git client."""
    if request.account is None:
        return Response({}, 401, headers={"WWW-Authenticate": 'Basic realm="GitLab"'})
    call.user = request.account.username
    path, _, service = request.path.lstrip("/").replace("%2F", "/").partition(".git/")
    project = next((each for each in gitlab.projects.values() if each.path == path), None)
    if project is None or project.role(request.account) < Role.GUEST:
        raise Refused(404, "The project you were looking for could not be found.")
    writes = "git-receive-pack" in {service, request.query.get("service")}
    if writes and (project.role(request.account) < Role.DEVELOPER or "write_repository" not in _scopes(request)):
        raise Refused(403, "You are not allowed to push code to this project.")
    if service != "git-receive-pack":
        return _backend(gitlab, request, project, service)
    with gitlab.lock:
        before = bare.refs(project.bare)
        response = _backend(gitlab, request, project, service)
        after = bare.refs(project.bare)
        changed = {
            ref: (before.get(ref), after.get(ref)) for ref in {**before, **after} if before.get(ref) != after.get(ref)
        }
        if changed:
            gitlab.pushed(request.account, project, changed)
    return response


def _scopes(request: Request) -> set[str]:
    assert request.account is not None
    # `api` includes writing to the repository (docs: user/profile/personal_access_tokens.md, scopes).
    return {*request.account.scopes} | ({"write_repository"} if "api" in request.account.scopes else set())


def _backend(gitlab: GitLab, request: Request, project: Project, service: str) -> Response:
    assert request.account is not None
    rules = [name for name, rule in project.protected.items() if not rule.allow_force_push]
    environment = {
        **bare.ENVIRONMENT,
        "GIT_PROJECT_ROOT": str(project.bare.parent),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": f"/{project.bare.name}/{service}",
        "REQUEST_METHOD": request.method,
        "QUERY_STRING": "&".join(f"{key}={value}" for key, value in request.query.items()),
        "CONTENT_TYPE": request.headers.get("Content-Type", ""),
        "CONTENT_LENGTH": str(len(request.raw)),
        "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
        "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
        "REMOTE_USER": request.account.username,
        "REMOTE_ADDR": "127.0.0.1",
        "STANDIN_MAY_NOT_PUSH": " ".join(gitlab.forbidden(request.account, project)),
        "STANDIN_MAY_NOT_FORCE": " ".join(rules),
        "HOME": os.devnull,
    }
    done = subprocess.run(["git", "http-backend"], check=False, input=request.raw, capture_output=True, env=environment)
    head, _, content = done.stdout.partition(b"\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
    status = int(fields.pop("Status", "200").split()[0])
    return Response(status=status, content=content, type=fields.pop("Content-Type", "text/plain"), headers=fields)
