"""What main said at a commit about people, limits and models: by this a merge that follows is judged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel

from tools.bot.report.needs import Before
from tools.formats.environment import Platform
from tools.formats.parse import parse
from tools.formats.people import Person
from tools.formats.tenant import Tenant
from tools.yamlsource import parse as read

if TYPE_CHECKING:
    from tools.bot.mirror import Mirror

T = TypeVar("T", bound=BaseModel)
PLATFORM = "environments/platform.yaml"


@dataclass
class Past:
    """Files of earlier commits, each content read once."""

    mirror: Mirror
    _read: dict[tuple[str, str], BaseModel | None] = field(default_factory=dict)

    def tenant(self, commit: str, name: str) -> Tenant | None:
        """tenants/<name>/tenant.yaml; None when it is not there or not valid."""
        return self._file(commit, f"tenants/{name}/tenant.yaml", Tenant)

    def admins(self, commit: str) -> tuple[Person, ...]:
        """The platform's admins; nobody when the file is not valid."""
        platform = self._file(commit, PLATFORM, Platform)
        return tuple(platform.admins) if platform is not None else ()

    def before(self, commit: str, tenant: str, model: str) -> Before:
        """What `needs` judges a tenant's run of one base model by."""
        found = self.tenant(commit, tenant)
        known = self.mirror.blob(commit, f"catalog/models/{model}.yaml") is not None
        tenants = {tenant: found} if found is not None else {}
        return Before(tenants, self.admins(commit), frozenset({model} if known else ()))

    def _file(self, commit: str, path: str, cls: type[T]) -> T | None:
        blob = self.mirror.blob(commit, path)
        if blob is None:
            return None
        if (path, blob) not in self._read:
            self._read[path, blob] = self._valid(commit, path, cls)
        return self._read[path, blob]  # type: ignore[return-value]

    def _valid(self, commit: str, path: str, cls: type[T]) -> T | None:
        content = self.mirror.file(commit, path)
        try:
            document = read((content or b"").decode("utf-8"), path)
        except UnicodeDecodeError:
            return None
        parsed = parse(cls, document)
        return parsed.value if not parsed.findings else None
