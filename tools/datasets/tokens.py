"""Row lengths in tokens, as the trainer will see them: the model's own tokenizer and LLaMA Factory's chat template.

Exact for text (compared with LLaMA Factory in the tests). Approximate in two places: descriptions of tools and function
calls count as the JSON they are written in, while the template puts sentences around them; and a preference pair counts
as its prompt with the longer answer, thoughts in earlier answers included.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from tools.datasets.example import Example, Turn
from tools.datasets.lengths import Lengths
from tools.errors import ToolFault
from tools.formats.dataset import TokenLengths
from tools.llamafactory.table import ChatTemplate, Slot

_BATCH = 512


class TokenCounter:
    """Takes examples; `summary` gives the distribution of their lengths.

    Raises:
        ToolFault: the tokenizer's files cannot be read.
    """

    def __init__(self, folder: Path, template: ChatTemplate) -> None:
        self._tokenizer = _load(folder)
        # As LLaMA Factory does (template.py, `fix_special_tokens`): each is one token, in the vocabulary or not.
        self._tokenizer.add_special_tokens(list(template.stop_words))
        config = _config(folder)
        # LLaMA Factory gives an end token to a tokenizer without one.
        self._special = {"bos_token": int(bool(config.get("bos_token"))), "eos_token": 1}
        self._adds_bos = bool(config.get("add_bos_token")) and self._special["bos_token"] == 1
        self._template = template
        self._fixed = lru_cache(maxsize=1024)(self._count)
        self._waiting: list[tuple[int, list[list[str]]]] = []
        self._lengths = Lengths()

    def take(self, example: Example) -> None:
        """Count one row; rows are tokenized in batches."""
        fixed, variants = 0, []
        for turns in _variants(example):
            fixed, texts = self._split(example, turns)
            variants.append(texts)
        self._waiting.append((fixed, variants))
        if len(self._waiting) == _BATCH:
            self._flush()

    def summary(self, model: str) -> TokenLengths:
        """The distribution over all rows taken; `model` is whose tokenizer this is."""
        self._flush()
        return self._lengths.summary(model)

    def _flush(self) -> None:
        texts = [text for _, variants in self._waiting for variant in variants for text in variant]
        encoded = iter(self._tokenizer.encode_batch_fast(texts, add_special_tokens=False))
        rows = []
        for fixed, variants in self._waiting:
            rows.append(fixed + max(sum(len(next(encoded)) for _ in variant) for variant in variants))
        self._lengths.add(rows)
        self._waiting.clear()

    def _count(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False))

    def _split(self, example: Example, turns: tuple[Turn, ...]) -> tuple[int, list[str]]:
        """The tokens that are the same in every row, and the texts whose tokens are to be counted."""
        if turns[0].role == "text":
            return self._special["eos_token"] + self._adds_bos, [turns[0].content]
        fixed, texts = int(self._template.efficient_eos), []
        for number, turn in enumerate(turns):
            for part in self._parts(example, turn, number):
                if isinstance(part, str):
                    texts += [part] if part else []
                else:
                    fixed += 1 if "token" in part else self._special[part["special"]]
        return fixed + sum(self._thoughts(turns)), texts

    def _parts(self, example: Example, turn: Turn, number: int) -> Iterator[Slot]:
        template, content = self._template, turn.content
        if number == 0:
            yield from template.slots["prefix"]
            system = (example.system or template.default_system) + example.tools
            if system and template.system_in_first_message:
                content = str(_filled(template.slots["system"][0], system)) + content
            elif system:
                yield from (_filled(slot, system) for slot in template.slots["system"])
        yield from (_filled(slot, content) for slot in template.slots[turn.role])

    def _thoughts(self, turns: tuple[Turn, ...]) -> Iterator[int]:
        """Tokens of the empty thought that reasoning templates put before an answer without one."""
        thought = self._template.empty_thought
        opening, closing = (word.strip() for word in self._template.thought_words)
        for turn in turns[1::2]:
            if thought and opening not in turn.content and closing not in turn.content:
                yield self._fixed(thought)


def _variants(example: Example) -> Iterator[tuple[Turn, ...]]:
    """The row's sequences: one for each answer."""
    if not example.answers:
        yield example.turns
    for answer in example.answers:
        yield (*example.turns, answer)


def _filled(slot: Slot, content: str) -> Slot:
    """As LLaMA Factory's StringFormatter fills it: the first placeholder only."""
    return slot.replace("{{content}}", content, 1) if isinstance(slot, str) else slot


def _load(folder: Path) -> Tokenizer:
    path = folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise ToolFault(f"{path} is no tokenizer: {error}; add the model's own, as its source has it") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _config(folder: Path) -> Mapping[str, Any]:
    path = folder / "tokenizer_config.json"
    try:
        found = json.loads(path.read_bytes()) if path.is_file() else {}
    except ValueError as error:
        raise ToolFault(f"{path} is not valid JSON: {error}; add the model's own, as its source has it") from error
    return found if isinstance(found, dict) else {}
