"""Recognising columns, and what the user may say about them."""

from __future__ import annotations

from typing import Any

import pytest

from tools.datasets.detect import Choice, detect
from tools.datasets.faults import RowFault
from tools.errors import UsageError

CHAT = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        ({"system_prompt": "s", "question": "q", "response": "r"}, {"prompt": "question", "response": "response", "system": "system_prompt"}),
        ({"prompt": "p", "prompt_id": "1", "messages": CHAT}, {"messages": "messages"}),
        ({"prompt": "p", "completion": "c", "label": True}, {"prompt": "prompt", "response": "completion", "kto_tag": "label"}),
        ({"text": "t", "label": 3}, {"prompt": "text"}),
        ({"system": "s", "question": "q", "chosen": "c", "rejected": "r"}, {"prompt": "question", "system": "system", "chosen": "chosen", "rejected": "rejected"}),
    ],
    ids=["orca", "ultrachat", "trl-kto", "text", "orca-dpo"],
)  # fmt: skip
def test_columns_of_published_datasets_are_known(row: dict[str, Any], columns: dict[str, str]) -> None:
    """Columns named as in published datasets map without being told."""
    found = {key: value for key, value in detect([row], Choice()).columns.items() if key != "query" or value in row}
    assert found == columns


def test_chats_of_hugging_face_are_read_as_sharegpt_with_their_own_words() -> None:
    """Messages with role and content need no openai reader, which would add a system text of its own."""
    layout = detect([{"messages": CHAT}], Choice())
    assert layout.format == "sharegpt"
    assert layout.tags["role_tag"] == "role"
    assert layout.tags["user_tag"] == "user"
    assert len(layout.tags) == 7


def test_the_users_columns_and_tags_win() -> None:
    """--column and --tag map what is not recognised, and take out what is."""
    row = {"pytanie": "a", "odpowiedz": "b", "input": "c"}
    choice = Choice(columns={"prompt": "pytanie", "response": "odpowiedz", "query": ""})
    assert dict(detect([row], choice).columns) == {"prompt": "pytanie", "response": "odpowiedz"}
    chat = {"rozmowa": [{"kto": "klient", "tekst": "a"}, {"kto": "bank", "tekst": "b"}]}
    tags = {"role_tag": "kto", "content_tag": "tekst", "user_tag": "klient", "assistant_tag": "bank"}
    layout = detect([chat], Choice(columns={"messages": "rozmowa"}, tags=tags))
    assert layout.format == "sharegpt"
    assert tags.items() <= layout.tags.items()


def test_a_column_that_is_not_there_is_refused() -> None:
    """--column with a name that no row has is an error that lists the names there are."""
    with pytest.raises(RowFault, match='no row at the beginning has the column "pytanei"; allowed: pytanie'):
        detect([{"pytanie": "a"}], Choice(columns={"prompt": "pytanei"}))


def test_a_column_of_another_format_is_refused() -> None:
    """--column messages with --as alpaca contradicts itself."""
    with pytest.raises(UsageError, match="the format alpaca has no such column"):
        detect([{"a": "b"}], Choice(format="alpaca", columns={"messages": "a"}))
