"""Which versions the registry's aliases point to. MLflow away means not known, and what is not known is not removed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tools.cluster.tracking import Away, Tracking


@dataclass(frozen=True, slots=True)
class Aliases:
    """of: run id -> aliases of its versions. unknown: why there may be more."""

    of: dict[str, list[str]] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)


def ask(uri: str, names: Iterable[str]) -> Aliases:
    """The aliases of registered models `<tenant>.<model_name>`, by the run that made each version."""
    server, found = Tracking(uri), Aliases()
    for name in names:
        try:
            for alias, run_id in server.aliases(name):
                if run_id is None:
                    found.unknown.append(f"{name}: the alias {alias} points to a version that names no run")
                else:
                    found.of.setdefault(run_id, []).append(alias)
        except Away as error:
            found.unknown.append(
                f"MLflow: {error}; MLFLOW_TRACKING_USERNAME and _PASSWORD log in, --tracking-uri leads elsewhere"
            )
            break
    return found
