"""How the file's own names map onto LLaMA Factory's: what the manifest keeps and dataset_info.json gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Format = Literal["alpaca", "sharegpt", "openai"]

TAGS: Mapping[Format, Mapping[str, str]] = {
    "alpaca": {},
    "sharegpt": {
        "role_tag": "from",
        "content_tag": "value",
        "user_tag": "human",
        "assistant_tag": "gpt",
        "observation_tag": "observation",
        "function_tag": "function_call",
        "system_tag": "system",
    },
    "openai": {
        "role_tag": "role",
        "content_tag": "content",
        "user_tag": "user",
        "assistant_tag": "assistant",
        "observation_tag": "tool",
        "function_tag": "function_call",
        "system_tag": "system",
    },
}
_COMMON = ("system", "tools", "chosen", "rejected", "kto_tag")
COLUMNS: Mapping[Format, tuple[str, ...]] = {
    "alpaca": ("prompt", "query", "response", "history", *_COMMON),
    "sharegpt": ("messages", *_COMMON),
    "openai": ("messages", *_COMMON),
}


@dataclass(frozen=True, slots=True)
class Layout:
    """Format, columns (LLaMA Factory's name -> the file's) and tags (complete, or empty for alpaca).

    Both are written out in full: LLaMA Factory forgets its defaults as soon as one of them is given.
    """

    format: Format
    columns: Mapping[str, str]
    tags: Mapping[str, str]

    @property
    def ranking(self) -> bool:
        """Whether the rows are preference pairs."""
        return "chosen" in self.columns and "rejected" in self.columns

    @property
    def plain_text(self) -> bool:
        """Whether the rows have no answers and serve pre-training."""
        return self.format == "alpaca" and not {"response", "chosen"} & self.columns.keys()
