"""`tenants/<tenant>/datasets/<dataset>.yaml`: one dataset's manifest, as `ft dataset add` writes it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tools.formats.base import Label, RelativePath, Sha256, Strict, Text

Column = Literal[
    "prompt", "query", "response", "history", "messages", "system", "tools", "chosen", "rejected", "kto_tag"
]
Tag = Literal["role_tag", "content_tag", "user_tag", "assistant_tag", "observation_tag", "function_tag", "system_tag"]


class TokenLengths(Strict):
    """Lengths of rows in tokens, chat template included."""

    model: Annotated[Label, Field(description="Whose tokenizer and template counted: a file name of catalog/models/")]
    total: Annotated[int, Field(ge=0)]
    mean: Annotated[float, Field(ge=0)]
    p50: Annotated[int, Field(ge=0)]
    p90: Annotated[int, Field(ge=0)]
    p99: Annotated[int, Field(ge=0)]
    max: Annotated[int, Field(ge=0)]
    histogram: Annotated[
        dict[str, int], Field(description="Rows by length: upper bound in tokens (a power of two) -> rows")
    ] = {}


class Dataset(Strict):
    """One file of rows on the tenant's storage."""

    version: Annotated[Literal[1], Field(description="Version of this format")]
    description: Annotated[Text, Field(description="What the rows are and where they come from")]
    path: Annotated[RelativePath, Field(description="File below /storage/data/training-datasets/")]
    format: Annotated[Literal["alpaca", "sharegpt", "openai"], Field(description="LLaMA Factory `formatting`")]
    ranking: Annotated[bool, Field(description="true for preference pairs (chosen, rejected)")] = False
    columns: Annotated[dict[Column, str], Field(description="LLaMA Factory column -> the file's own name for it")] = {}
    tags: Annotated[
        dict[Tag, str], Field(description="LLaMA Factory tag -> the file's own word for it (sharegpt)")
    ] = {}
    sha256: Sha256
    size: Annotated[int, Field(ge=0, description="Bytes")]
    rows: Annotated[int, Field(ge=1)]
    empty_rows: Annotated[int, Field(ge=0, description="Rows without an answer")] = 0
    duplicate_rows: Annotated[int, Field(ge=0, description="Rows equal to an earlier one")] = 0
    tokens: Annotated[TokenLengths | None, Field(description="Omitted when no tokenizer was at hand")] = None
