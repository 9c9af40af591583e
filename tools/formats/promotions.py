"""`audit/<env>/<tenant>/_serving/<model_name>.yaml`: what was served when, and who allowed each change. Only the bot writes it.

Entries are only added. The last one says what is served now; a `served` of null took the model out of service.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tools.formats.audit import Approval, Commit, Timestamp
from tools.formats.base import Label, Strict
from tools.formats.people import Person
from tools.formats.serving import SERVING, Serving


class Promotion(Strict):
    """One change of what is served: a promotion, a rollback, or the end of it."""

    served: Annotated[Serving | None, Field(description="null: nothing any more")]
    at: Annotated[Timestamp, Field(description="When the bot decided")]
    merge_request: Annotated[int, Field(ge=1)]
    merged_at: Timestamp
    merged_by: Person | None
    author: Person
    commit: Annotated[Commit, Field(description="Commit on main that holds the approved file")]
    required_approvals: Annotated[int, Field(ge=0, description="0 where the model was only taken out of service")]
    approvals: list[Approval]


class Promotions(Strict):
    """The history of one served model in one environment."""

    version: Annotated[Literal[1], Field(description="Version of this format")]
    tenant: Label
    environment: Label
    model_name: Label
    promotions: Annotated[list[Promotion], Field(min_length=1, description="Oldest first")]

    @property
    def last(self) -> Promotion:
        """What holds now."""
        return self.promotions[-1]

    @property
    def file(self) -> str:
        """Where the record lies, relative to the repository's root."""
        return path(self.environment, self.tenant, self.model_name)


def path(environment: str, tenant: str, model_name: str) -> str:
    """`audit/<env>/<tenant>/_serving/<model_name>.yaml`."""
    return f"audit/{environment}/{tenant}/{SERVING}/{model_name}.yaml"
