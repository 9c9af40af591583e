"""What a verdict on a served model changes in the tree: its overlay, its record, or the file that was not approved."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from tools.bot.authorize.approved import approvals, person, signed
from tools.bot.promote.judging import Served
from tools.bot.upkeep.outcomes import stamp
from tools.expand import promotions, serving
from tools.formats.promotions import Promotion, Promotions, path
from tools.repository import Repository

if TYPE_CHECKING:
    from tools.bot.mirror import Mirror

Changes = dict[str, bytes | None]


def changes(mirror: Mirror, repository: Repository, decided: Served, now: datetime) -> Changes:
    """Path -> content. A refused change is undone, so that serving/ says what is served and the same can be proposed anew."""
    if decided.state == "refused":
        deployed = mirror.tip(f"deployed/{decided.environment}")
        return {decided.file: mirror.file(deployed, decided.file) if deployed else None}
    folder = serving.overlay_of(decided.file)
    made: Changes = dict.fromkeys(repository.files_below(folder))
    record = _record(repository, decided, now)
    if decided.served is not None:
        lock = serving.resolve(repository, decided.file, signed(record.last))
        made |= {f"{folder}/{name}": content for name, content in serving.files(lock).items()}
    return {**made, record.file: promotions.content(record)}


def _record(repository: Repository, decided: Served, now: datetime) -> Promotions:
    """The model's record with one entry more."""
    conduct, rules = decided.conduct, decided.rules
    assert conduct is not None
    assert rules is not None
    merge_request = conduct.merge_request
    assert merge_request.merged_at is not None
    entry = Promotion(
        served=decided.served,
        at=stamp(now),
        merge_request=merge_request.iid,
        merged_at=stamp(merge_request.merged_at),
        merged_by=person(merge_request.merged_by) if merge_request.merged_by else None,
        author=person(merge_request.author),
        commit=decided.landing.commit,
        required_approvals=rules.required if decided.served is not None else 0,
        approvals=approvals(decided.verdict.approvals),
    )
    _, environment, tenant, name = decided.file.split("/")
    name = name.removesuffix(".yaml")
    known = repository.optional(path(environment, tenant, name), Promotions)
    if known is not None:
        return known.model_copy(update={"promotions": [*known.promotions, entry]})
    return Promotions(version=1, tenant=tenant, environment=environment, model_name=name, promotions=[entry])
