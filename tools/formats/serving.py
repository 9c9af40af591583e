"""`serving/<env>/<tenant>/<model_name>.yaml`: which published version of a model the external vLLM serves.

`ft promote` or the bot writes it in a merge request; the tenant's approvers authorize it. Who merges a revert rolls back, who
removes the file takes the model out of service.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tools.formats.base import Sha256, Strict

# Folder of what is generated from these files, below overlays/<env>/ and audit/<env>/<tenant>/.
SERVING = "_serving"

RunId = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?-[0-9a-f]{8}$", max_length=49)]


class Serving(Strict):
    """One served version; environment, tenant and model name are those of the file's path."""

    version: Annotated[Literal[1], Field(description="Version of this format")]
    run_id: Annotated[RunId, Field(description="Run that made it: its folder is merged-model/<model_name>/<run id>/")]
    model_version: Annotated[int, Field(ge=1, description="Number of the version in MLflow's registry")]
    publication: Annotated[
        Sha256, Field(description="SHA-256 of its publication.json, which holds the hash of every other file")
    ]
