"""What a new experiment may name: the tenant's models, datasets and members, asked for by name or guessed where there is one."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from tools.errors import UsageError
from tools.formats.base import LABEL_PATTERN, PATTERN_IN_WORDS
from tools.formats.people import usernames
from tools.formats.tenant import Tenant
from tools.repository import Repository
from tools.rules.file_name import is_label
from tools.rules.kinds import place_of


def tenant_of(repository: Repository, name: str) -> Tenant:
    """A tenant that is there and valid.

    Raises:
        UsageError: it is not.
    """
    tenant = repository.tenant(name)
    if tenant is not None:
        return tenant
    if (repository.root / "tenants" / name / "tenant.yaml").is_file():
        raise UsageError(f"tenants/{name}/tenant.yaml has faults; run `ft validate tenants/{name}`")
    known = sorted(path.parent.name for path in repository.root.glob("tenants/*/tenant.yaml"))
    raise UsageError(unknown("tenant", name, known, "a platform admin adds tenants"))


def target(repository: Repository, path: Path) -> tuple[str, str, str]:
    """(file, tenant, name) of an experiment to be written.

    Raises:
        UsageError: experiments do not stand there, or one does already.
    """
    file = repository.relative(path)
    place = place_of(file)
    if place is None or place.kind != "experiment":
        raise UsageError(f"{path} is no place for an experiment; allowed: experiments/<tenant>/<name>.yaml")
    if not is_label(place.name):
        raise UsageError(f"{place.name!r} is no name of an experiment; allowed: {PATTERN_IN_WORDS[LABEL_PATTERN]}")
    if (repository.root / file).exists() or (repository.root / file).is_symlink():
        raise UsageError(f"{file} exists already and is not overwritten; give another name")
    return file, place.tenant_name, place.name


def chosen(kind: str, name: str, known: Sequence[str], remedy: str) -> str:
    """`name`, if it is known.

    Raises:
        UsageError: it is not; names the nearest.
    """
    if name in known:
        return name
    raise UsageError(unknown(kind, name, known, remedy))


def unknown(kind: str, name: str, known: Sequence[str], remedy: str) -> str:
    """What to say about a name that is not known."""
    near = get_close_matches(name, known, n=1, cutoff=0.6)
    hint = f'did you mean "{near[0]}"?' if near else remedy
    return f"there is no {kind} {name!r}; allowed: {', '.join(known) or 'none yet'}; {hint}"


def owner(repository: Repository, tenant: Tenant, wished: str | None) -> tuple[str, str]:
    """Who answers for a new experiment, and a notice where that is a guess: `wished`, the member that git knows, the first.

    Raises:
        UsageError: `wished` is no member.
    """
    members = usernames(tenant.members)
    if wished:
        return chosen("member", wished, members, "ask a platform admin to add you to tenant.yaml"), ""
    name, email = (_git(repository.root, key) for key in ("user.name", "user.email"))
    names = (name, email.partition("@")[0], name.lower().replace(" ", "."))
    found = next((candidate for candidate in names if candidate in members), None)
    if found is not None:
        return found, ""
    first = members[0]
    return first, f"owner: {first}, because git's user.name {name!r} is no member; correct it or give --owner"


def _git(folder: Path, key: str) -> str:
    try:
        result = subprocess.run(["git", "config", key], cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return result.stdout.strip()
