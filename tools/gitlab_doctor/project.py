"""The project under examination: GitLab's settings, each read once, and the people of this checkout."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tools.bot.errors import ForgeMissing
from tools.bot.forge import Forge
from tools.formats.people import Person
from tools.repository import Repository

Json = dict[str, Any]


@dataclass
class Project:
    """What the checks look at.

    bot: numeric id of the bot's account. url: where `ft bot serve` listens, None where it runs in a schedule. Every property
    raises `ForgeRefused` where the token may not see it.
    """

    forge: Forge
    repository: Repository
    bot: int
    url: str | None
    _kept: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def id(self) -> int:
        """The project's number."""
        return self.forge.project_id

    @cached_property
    def settings(self) -> Json:
        """GET /projects/:id."""
        return dict(self.forge.get(f"/projects/{self.id}"))

    @cached_property
    def approvals(self) -> Json | None:
        """Approval settings; None on the free tier, which has none."""
        try:
            return dict(self.forge.get(f"/projects/{self.id}/approvals"))
        except ForgeMissing:
            return None

    @property
    def free(self) -> bool:
        """Whether this is GitLab's free tier."""
        return self.approvals is None

    def all(self, what: str) -> list[Json]:
        """All entries of /projects/:id/<what>."""
        if what not in self._kept:
            self._kept[what] = self.forge.get_all(f"/projects/{self.id}/{what}")
        found: list[Json] = self._kept[what]
        return found

    def one(self, what: str) -> Json:
        """The object at /projects/:id/<what>."""
        return dict(self.forge.get(f"/projects/{self.id}/{what}"))

    @property
    def branches(self) -> list[str]:
        """The branches that decide: main, and what each environment's Argo CD follows."""
        names = (name for name in self.repository.names("environments") if name != "platform")
        return [str(self.settings.get("default_branch") or "main"), *(f"deployed/{name}" for name in names)]

    @property
    def admins(self) -> list[Person]:
        """Platform admins."""
        return list(self.repository.platform.admins) if self.repository.platform else []

    def people(self) -> Iterator[tuple[str, str, Person]]:
        """File, role and person of everybody that the checkout's files name."""
        for person in self.admins:
            yield "environments/platform.yaml", "admin", person
        for path in sorted(self.repository.root.glob("tenants/*/tenant.yaml")):
            tenant = self.repository.tenant(path.parent.name)
            for role, people in (("member", tenant.members), ("approver", tenant.approvers)) if tenant else ():
                for person in people:
                    yield path.relative_to(self.repository.root).as_posix(), role, person
