"""The people that tenant.yaml and platform.yaml name, against the project's members.

Sources: GitLab's documentation, api/members.md, user/permissions.md.
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.examining import Result, judged, right, wrong
from tools.gitlab_doctor.project import Json, Project

_DEVELOPER, _MAINTAINER = 30, 40


def accounts(project: Project) -> Iterator[Result]:
    """People of the files: each number is the named account, active, and may do what the file says."""
    members = {int(member["id"]): member for member in project.all("members/all")}
    for file, role, person in project.people():
        subject = f"{role} {person.username} ({person.id}) of {file}"
        if person.id == project.bot:
            wanted = "people"
            yield wrong("account", subject, "the bot itself", wanted, f"take the entry out of {file}")
            continue
        yield _account(project, subject, file, person.username, members.get(person.id))


def access(project: Project) -> Iterator[Result]:
    """Access: nobody but the bot and the platform's admins can change these settings."""
    trusted = {person.id for person in project.admins} | {project.bot}
    strangers = [
        member
        for member in project.all("members/all")
        if int(member.get("access_level") or 0) >= _MAINTAINER and int(member["id"]) not in trusted
    ]
    for member in strangers:
        who = f"{member.get('username')} ({member['id']})"
        remedy = (
            f"Manage > Members > {member.get('username')}: Developer (API: PUT /projects/{project.id}/members/{member['id']} "
            "access_level=30; where the role comes from a group, there); or name them in environments/platform.yaml"
        )
        yield wrong("access", who, "Maintainer or Owner, and no platform admin", "Developer at most", remedy)
    if not strangers:
        yield right("access", "roles of Maintainer and above")


def _account(project: Project, subject: str, file: str, username: str, member: Json | None) -> Result:
    add = f"Manage > Members > Invite: Developer (API: POST /projects/{project.id}/members access_level=30)"
    if member is None:
        return wrong("account", subject, "no member of the project", "a member, Developer at least", add)
    if str(member.get("username")).lower() != username.lower():
        found = f"that number is {member.get('username')} now"
        remedy = f"correct name or number in {file}: the number is whose approval counts"
        return wrong("account", subject, found, f"number and name of one account ({username})", remedy)
    if member.get("state") != "active":
        remedy = f"take the entry out of {file}, or let an administrator unblock the account"
        return wrong("account", subject, str(member.get("state")), "active", remedy)
    held = int(member.get("access_level") or 0) >= _DEVELOPER
    return judged("account", subject, "below Developer: can neither approve nor merge", "Developer", add, holds=held)
