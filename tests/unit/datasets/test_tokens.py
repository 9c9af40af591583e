"""Token lengths with a model's own tokenizer and chat template."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from tools.datasets.example import Example, Turn
from tools.datasets.tokens import TokenCounter
from tools.errors import ToolFault
from tools.llamafactory.table import templates


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tokenizer for which every word and every punctuation mark is one token."""
    tokenizer = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<s>", "eos_token": "</s>"}))
    return tmp_path


def length(folder: Path, template: str, example: Example) -> int:
    """Tokens of one row."""
    counter = TokenCounter(folder, templates()[template])
    counter.take(example)
    return counter.summary("m").max


QUESTION = (Turn("user", "how are you"),)
ANSWER = (Turn("assistant", "very well"),)


def test_the_template_counts(folder: Path) -> None:
    r"""`default` writes `Human: how are you</s>\nAssistant:` and `very well</s>\n`: 9 words and marks, 2 end tokens."""
    assert length(folder, "default", Example("", "", QUESTION, ANSWER)) == 2 + 3 + 1 + 2 + 2 + 1


def test_a_system_text_counts(folder: Path) -> None:
    r"""`default` puts `System: be brief</s>\n` before the conversation."""
    plain = length(folder, "default", Example("", "", QUESTION, ANSWER))
    assert length(folder, "default", Example("be brief", "", QUESTION, ANSWER)) == plain + 5


def test_a_preference_pair_counts_with_its_longer_answer(folder: Path) -> None:
    """The trainer pads both answers to the longer one."""
    long = Turn("assistant", "very well thank you so much")
    single = length(folder, "default", Example("", "", QUESTION, (long,)))
    assert length(folder, "default", Example("", "", QUESTION, (*ANSWER, long))) == single


def test_plain_text_counts_with_its_end_token(folder: Path) -> None:
    """Pre-training adds one end token and no template."""
    assert length(folder, "default", Example("", "", (Turn("text", "one two three"),), ())) == 4


def test_reasoning_templates_count_their_empty_thought(folder: Path) -> None:
    r"""qwen3 puts `<think>\n\n</think>` before an answer without thoughts, and nothing before one with."""
    thinking = length(folder, "qwen3", Example("", "", QUESTION, (Turn("assistant", "<think> </think> very well"),)))
    assert length(folder, "qwen3", Example("", "", QUESTION, ANSWER)) == thinking


def test_a_broken_tokenizer_is_named(folder: Path) -> None:
    """A tokenizer.json that is none is a fault of the storage, with its path."""
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ToolFault, match=r"tokenizer\.json is no tokenizer"):
        TokenCounter(folder, templates()["default"])
