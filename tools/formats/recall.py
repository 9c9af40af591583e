"""`recalls/<tenant>/<dataset>.yaml`: data that no model may be promoted from, and what became of the models that were.

`ft recall` writes it. It holds as soon as it is merged; to weaken it (lift it, clear a model, name fewer contents, remove the
file) takes the tenant's approvers, as a promotion does.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tools.formats.audit import Timestamp
from tools.formats.base import Label, Login, Sha256, Strict, Text
from tools.formats.serving import RunId

State = Literal["open", "cleared", "withdrawn"]


class RecalledModel(Strict):
    """One model that was trained on the data, or made from one that was."""

    environment: Label
    run_id: RunId
    model: Annotated[str | None, Field(max_length=100, description="Registered name; null where nothing is registered")]
    state: Annotated[
        State, Field(description="open: not reviewed; cleared: may be served again; withdrawn: never again")
    ]
    note: Annotated[Text | None, Field(description="Why it was cleared or withdrawn")] = None


class Lifted(Strict):
    """The recall is over: the data may be used again. Models that are withdrawn stay so."""

    by: Annotated[Login, Field(description="GitLab user name of who answers for it")]
    at: Timestamp
    reason: Text


class Recall(Strict):
    """One dataset that was recalled; tenant and dataset are those of the file's path."""

    version: Annotated[Literal[1], Field(description="Version of this format")]
    reason: Annotated[Text, Field(description="Why, for instance a withdrawn consent")]
    opened_by: Annotated[Login, Field(description="GitLab user name of who answers for it")]
    opened_at: Timestamp
    sha256: Annotated[
        list[Sha256], Field(min_length=1, max_length=1000, description="Contents of the dataset that are recalled")
    ]
    models: Annotated[
        list[RecalledModel], Field(max_length=10_000, description="State of each model; one that is missing is open")
    ] = []
    lifted: Annotated[Lifted | None, Field(description="Omit it while the recall holds")] = None

    def state_of(self, environment: str, run_id: str) -> State:
        """What is decided about a run that used the data."""
        found = (each.state for each in self.models if (each.environment, each.run_id) == (environment, run_id))
        return next(found, "open")

    def blocks(self, environment: str, run_id: str) -> bool:
        """Whether a run that used the data must not be promoted."""
        state = self.state_of(environment, run_id)
        return state == "withdrawn" or (self.lifted is None and state == "open")
