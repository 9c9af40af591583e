"""A bank's GitLab, ready: this repository's own data in a project, with the people of its tenant.yaml and a bot.

The people's numeric ids are those that tenants/*/tenant.yaml and environments/platform.yaml name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.gitlab.bare import Content, tip
from tests.gitlab.model import Account, Merge, Project, Role
from tests.gitlab.standin import GitLab
from tools.bot.mirror import Signer

ROOT = Path(__file__).resolve().parent.parent.parent
DATA = ("tenants", "catalog", "environments", "experiments", "base", "overlays", "audit", "recalls", "serving")
ENVIRONMENTS = ("dev", "prod")
BOT_URL, WEBHOOK_SECRET = "https://ft-bot.example", "webhook-secret-of-the-tests"
BOT_ID, ROOT_ID, MALLORY_ID, OUTSIDER_ID = 900, 1, 666, 777


@dataclass
class Site:
    """The server, the project and who is there.

    `bot` alone pushes to main and deployed/*; members and approvers of tenants are developers, platform admins maintainers.
    `mallory` is a developer in no tenant, `outsider` no member at all.
    """

    gitlab: GitLab
    project: Project
    root: Account
    bot: Account
    mallory: Account
    outsider: Account

    def user(self, username: str) -> Account:
        """Somebody by name, for instance one that tenant.yaml names."""
        return self.gitlab.user(username)

    @property
    def main(self) -> str:
        """Main's commit."""
        return self.tip("main")

    def tip(self, branch: str) -> str:
        """A branch's commit."""
        found = tip(self.project.bare, f"refs/heads/{branch}")
        assert found is not None, f"no branch {branch}"
        return found

    def propose(
        self,
        account: Account,
        files: Mapping[str, Content],
        *,
        branch: str | None = None,
        title: str = "An experiment",
        source: Project | None = None,
        **push: Any,
    ) -> Merge:
        """Push files to a new branch and open a merge request into main."""
        name = branch or f"change-{len(self.project.merges) + 1}"
        self.gitlab.push(account, source or self.project, name, files, message=title, start="main", **push)
        return self.gitlab.open(account, self.project, name, title=title, source=source)

    def approve(self, username: str, merge: Merge) -> None:
        """Approve as somebody."""
        self.gitlab.approve(self.user(username), self.project, merge)

    def merge(self, username: str, merge: Merge, how: str | None = None) -> str:
        """Merge as somebody; main's new commit."""
        return self.gitlab.merge(self.user(username), self.project, merge, how)

    def experiment(self, tenant: str = "team-a", name: str = "exp-002", **changed: Any) -> dict[str, Content]:
        """The files of a proposal: a copy of exp-001 with some keys changed."""
        document = yaml.safe_load((ROOT / "experiments" / "team-a" / "exp-001.yaml").read_text())
        return {f"experiments/{tenant}/{name}.yaml": yaml.safe_dump({**document, **changed}, sort_keys=False)}


def build(gitlab: GitLab, source: Path = ROOT) -> Site:
    """Fill a stand-in from the data folders below `source`; main and deployed/<env> start at the same commit."""
    root = gitlab.add_user("root", ROOT_ID)
    bot = gitlab.add_user("ft.bot", BOT_ID)
    project = gitlab.add_project("ml/llm-finetuning", root, {bot: Role.MAINTAINER})
    for person in _people(source, "tenants/*/tenant.yaml", "members", "approvers"):
        _join(gitlab, project, person, Role.DEVELOPER)
    for person in _people(source, "environments/platform.yaml", "admins"):
        _join(gitlab, project, person, Role.MAINTAINER)
    mallory = gitlab.add_user("mallory", MALLORY_ID)
    project.grant(mallory, Role.DEVELOPER)
    files = {
        path.relative_to(source).as_posix(): path.read_bytes()
        for folder in DATA
        for path in sorted((source / folder).rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    first = gitlab.push(root, project, "main", files, message="The platform")
    for environment in ENVIRONMENTS:
        gitlab.push_commit(root, project, f"deployed/{environment}", first)
    for branch in ("main", *(f"deployed/{environment}" for environment in ENVIRONMENTS)):
        project.protect(branch, push=Role.NONE, merge=Role.DEVELOPER, pushers={bot.id})
    return Site(gitlab, project, root, bot, mallory, gitlab.add_user("outsider", OUTSIDER_ID))


def _people(source: Path, pattern: str, *lists: str) -> Iterator[dict[str, Any]]:
    for path in sorted(source.glob(pattern)):
        document = yaml.safe_load(path.read_text())
        for each in lists:
            yield from document[each]


def _join(gitlab: GitLab, project: Project, person: dict[str, Any], role: Role) -> None:
    known = gitlab.accounts.get(person["id"])
    account = known or gitlab.add_user(person["username"], person["id"])
    project.grant(account, max(role, project.role(account)))


def write_settings(site: Site, signer: Signer, folder: Path, **changed: Any) -> Path:
    """The bot's settings for a site as a file, its secrets in files beside it; `changed` replaces top-level keys."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("token", site.bot.token), ("webhook-secret", WEBHOOK_SECRET)):
        (folder / name).write_text(f"{text}\n")
    settings = {
        "version": 1,
        "url": BOT_URL,
        "work": str(folder / "work"),
        "environments": list(ENVIRONMENTS),
        "gitlab": {
            "url": site.gitlab.url,
            "project": site.project.id,
            "token_file": str(folder / "token"),
            "webhook_secret_file": str(folder / "webhook-secret"),
        },
        "signing": {
            "name": signer.name,
            "email": signer.email,
            "key": signer.key,
            "gnupghome": str(signer.gnupghome),
        },
        **changed,
    }
    file = folder / "settings.yaml"
    file.write_text(yaml.safe_dump(settings, sort_keys=False))
    return file
