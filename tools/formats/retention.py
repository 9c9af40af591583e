"""How long a tenant's storage keeps what runs left: `retention:` in environments/<env>.yaml and in tenant.yaml.

Nothing goes by itself: `ft storage prune` removes what these allow, and never what is served, has an alias in the registry, is
recalled and not reviewed, or belongs to a run that is not over.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tools.formats.base import Duration, Strict


class Retention(Strict):
    """Ages count from the end of the run, those of a model also from the day on which it was last served."""

    checkpoints: Annotated[
        Duration, Field(description="Checkpoints of a finished run, which nothing needs any more")
    ] = "7d"
    unfinished: Annotated[
        Duration, Field(description="All that a failed or cancelled run left, to resume it or to look")
    ] = "30d"
    models: Annotated[Duration, Field(description="Merged models; their adapters can be merged again")] = "180d"
    keep_models: Annotated[
        int, Field(ge=1, le=1000, description="Newest merged models of each name, which stay at any age")
    ] = 3
    adapters: Annotated[
        Duration, Field(description="Adapters, evaluations and logs of runs without a merged model")
    ] = "365d"


def effective(environment: Retention, tenant: Retention | None) -> Retention:
    """The environment's retention with what the tenant's says otherwise."""
    if tenant is None:
        return environment
    return environment.model_copy(update={name: getattr(tenant, name) for name in tenant.model_fields_set})
