"""publication.json: what a published folder holds; written last, so that a folder that has it is whole."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from runner.records import Record
from tools.formats.base import RelativePath, Sha256
from tools.formats.model import File

NAME = "publication.json"


class Publication(Record):
    """What publication.json holds."""

    version: Literal[1]
    run_id: str
    run_sha256: Sha256
    model_name: str
    tags: Annotated[dict[str, str], Field(description="The same as the registered version's")]
    files: Annotated[dict[RelativePath, File], Field(min_length=1, description="All files but this one")]
