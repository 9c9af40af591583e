"""MLflow's alias `champion` follows what is served: after a promotion, a rollback, and the end of it.

Found by comparing, so that a round that was missed, or somebody who moved the alias by hand, is made good by the next one.
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.expand import promotions
from tools.formats.promotions import Promotions
from tools.models.versions import CHAMPION, Versions
from tools.repository import Repository


def align(repository: Repository, environment: str, registry: Versions) -> Iterator[str]:
    """Move what points elsewhere; what was done, a sentence each.

    Raises:
        RegistryFault: MLflow is away or refuses; the next round does it.
    """
    root = repository.root
    for path in sorted((root / "audit" / environment).glob("*/_serving/[!.]*.yaml")):
        parsed = promotions.read(repository, path.relative_to(root).as_posix())
        if parsed.value is not None and not parsed.findings:
            yield from _one(parsed.value, registry)


def _one(record: Promotions, registry: Versions) -> Iterator[str]:
    name, served = f"{record.tenant}.{record.model_name}", record.last.served
    versions = registry.of_model(name)
    now = next((version.number for version in versions if CHAMPION in version.aliases), None)
    wanted = served.model_version if served is not None else None
    if now == wanted or (wanted is not None and all(version.number != wanted for version in versions)):
        return
    # What somebody else called champion, and was never served from here, is not ours to take away.
    ours = {each.served.model_version for each in record.promotions if each.served is not None}
    if wanted is None and now not in ours:
        return
    registry.point(name, CHAMPION, wanted)
    yield f"{name}: {CHAMPION} is version {wanted}" if wanted is not None else f"{name}: no {CHAMPION} any more"
