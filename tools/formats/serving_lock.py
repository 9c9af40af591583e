"""`overlays/<env>/_serving/<tenant>/<model_name>/lock.yaml`: what is served, completely resolved.

`authorized` stands outside the hash: it says who allowed the content, and is null where `ft expand --serving` wrote it by hand.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tools.formats.base import Label, Sha256, Strict
from tools.formats.digest import digest
from tools.formats.environment import Gateway
from tools.formats.lock import Authorized
from tools.formats.serving import Serving


class ServingContent(Strict):
    """Everything that decides what the overlay holds."""

    environment: Label
    tenant: Label
    model_name: Label
    base: Annotated[str, Field(pattern=r"^v[1-9][0-9]*$", description="Version of base/serving/ that it fits")]
    namespace: Annotated[str, Field(max_length=63, description="Where the external vLLM of this tenant runs")]
    served: Serving
    gateway: Annotated[Gateway | None, Field(description="Where the model is registered; null: nowhere")]

    @property
    def registered_name(self) -> str:
        """The model's name in the registry, and for the clients of vLLM."""
        return f"{self.tenant}.{self.model_name}"


class ServingLock(Strict):
    """The content with its hash, and who allowed it."""

    version: Literal[1]
    sha256: Sha256
    authorized: Authorized | None
    content: ServingContent


def seal(content: ServingContent, authorized: Authorized | None) -> ServingLock:
    """The lock of a content."""
    return ServingLock(version=1, sha256=digest(content), authorized=authorized, content=content)
