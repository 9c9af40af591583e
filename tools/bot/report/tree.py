"""What the target branch will hold once a merge request is merged, as plain files, and what the merge changes.

git makes the merge in the bot's own mirror, as an object: nothing is checked out, no hook or filter of anybody runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tools.bot.mirror import Mirror
from tools.bot.report.changes import Change, Kind
from tools.bot.report.needs import Before
from tools.repository import Repository

_ALWAYS = ("catalog", "environments")
_EVERYTHING = ("base", "experiments", "tenants", "overlays", "audit", "recalls", "serving")


class Conflict(Exception):  # noqa: N818 - the situation's name
    """git cannot merge it without a person."""


@dataclass(frozen=True, slots=True)
class Tree:
    """One merge request's outcome.

    before: the target branch alone. mixed: files that main changed as well, so that the outcome is not what was pushed.
    """

    repository: Repository
    before: Before
    changes: tuple[Change, ...]
    mixed: frozenset[str]


def lay_out(mirror: Mirror, target: str, head: str, into: Path) -> Tree:
    """Write the outcome of merging `head` into `target` (commits) below `into`, as far as judging it takes.

    Raises:
        Conflict: they do not merge.
        Hostile: the merge request's files are over the bot's limits.
    """
    merged, base = mirror.merged_tree(target, head), mirror.merge_base(target, head)
    if merged is None or base is None:
        raise Conflict
    effect, pushed = mirror.diff(target, merged), mirror.diff(base, head)
    tenants = {name for path in effect if (name := _tenant(path)) is not None}
    judges = [f"tenants/{tenant}/tenant.yaml" for tenant in sorted(tenants)]
    mirror.materialise(target, into / "before", ["catalog/models", "environments/platform.yaml", *judges])
    before = Before.read(Repository(into / "before"), tenants)
    after = into / "after"
    mirror.materialise(merged, after, _ALWAYS)
    mirror.materialise(merged, after, sorted(_wanted(effect, tenants, Repository(after))), partial(_is_read, effect))
    changes = tuple(Change(path, _kind(*sides)) for path, sides in effect.items())
    mixed = frozenset(path for path, (_, now) in effect.items() if pushed.get(path, (None, None))[1] != now)
    return Tree(Repository(after), before, changes, mixed)


def runs(mirror: Mirror, target: str, places: Iterable[tuple[str, str, str]], into: Path) -> Repository:
    """What the target branch holds of runs (environment, tenant, name): experiments, overlays and the tenants' records."""
    wanted = set()
    for environment, tenant, name in places:
        wanted |= {
            f"experiments/{tenant}/{name}.yaml",
            f"overlays/{environment}/{tenant}/{name}",
            f"audit/{environment}/{tenant}",
        }
    if wanted:
        mirror.materialise(target, into, sorted(wanted))
    return Repository(into)


def _wanted(effect: Iterable[str], tenants: set[str], repository: Repository) -> set[str]:
    """Folders that judging these paths takes: everything where they matter to everybody."""
    if any(path.startswith(("catalog/", "environments/")) for path in effect):
        return set(_EVERYTHING)
    environments = [name for name in repository.names("environments") if name != "platform"]
    # A tenant's uid, namespace and the like must be its own among all of them.
    people = {"tenants"} if any(path.endswith("/tenant.yaml") for path in effect) else {f"tenants/{t}" for t in tenants}
    # A model counts as trained on recalled data of another tenant's as well, through its base model.
    lineage = (
        {"audit", "overlays", "serving"} if any(path.startswith(("serving/", "recalls/")) for path in effect) else set()
    )
    own = {*people, *lineage, "recalls", *(f"experiments/{tenant}" for tenant in tenants)}
    generated = {f"{kind}/{e}/{tenant}" for kind in ("overlays", "audit") for e in environments for tenant in tenants}
    return {"base", *own, *generated}


def _is_read(effect: Mapping[str, object], path: str) -> bool:
    """Whether judging reads a file: of the overlays that are as they were it is the locks alone."""
    return path in effect or not path.startswith("overlays/") or path.endswith(("/run.yaml", "/lock.yaml"))


def _tenant(path: str) -> str | None:
    """The tenant whom a path concerns in any way."""
    match path.split("/"):
        case ["experiments" | "tenants" | "recalls", tenant, _, *_] | [
            "overlays" | "audit" | "serving",
            _,
            tenant,
            _,
            *_,
        ]:
            return tenant if not tenant.startswith("_") else None
    return None


def _kind(old: str | None, new: str | None) -> Kind:
    if old is None:
        return "added"
    return "removed" if new is None else "changed"
