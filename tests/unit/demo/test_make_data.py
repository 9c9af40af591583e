"""The demo's data set: committed as generated, and held-out rows that share nothing with the training rows."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from demo import make_data

Row = dict[str, str]
TOPICS = set(make_data.ROWS["train"])


def rows(split: str) -> list[Row]:
    """The committed rows of a split."""
    found: list[Row] = json.loads((make_data.DATA / make_data.FILES[split]).read_text(encoding="utf-8"))
    return found


def templates(split: str) -> dict[str, Any]:
    """The openings, closings and topics of a split."""
    found: dict[str, Any] = yaml.safe_load(make_data.TEMPLATES.read_text(encoding="utf-8"))[split]
    return found


def sentences(split: str) -> list[str]:
    """Every text that a split's messages are made of, without regard to case."""
    parts = templates(split)
    texts = [*parts["openings"], *parts["closings"], *(text for topic in parts["topics"].values() for text in topic)]
    return [text.casefold() for text in texts]


def as_pattern(template: str) -> re.Pattern[str]:
    """What a template's messages look like, whatever stands in its slots."""
    return re.compile(".+".join(re.escape(part) for part in re.split(r"\{\w+\}", template)))


def test_the_committed_files_are_what_the_generator_writes(tmp_path: Path) -> None:
    """Running the generator again gives the same bytes as the committed data files."""
    assert make_data.main(["--output", str(tmp_path)]) == 0
    for name in make_data.FILES.values():
        assert (tmp_path / name).read_bytes() == (make_data.DATA / name).read_bytes(), name


def test_no_sentence_stands_in_both_splits() -> None:
    """Openings, closings and templates are all different, within a split and between the two."""
    texts = sentences("train") + sentences("held_out")
    assert [text for text, count in Counter(texts).items() if count > 1] == []


@pytest.mark.parametrize(("split", "other"), [("train", "held_out"), ("held_out", "train")])
def test_no_message_follows_a_template_of_the_other_split(split: str, other: str) -> None:
    """No message contains what a template of the other split would have made of any values."""
    patterns = [as_pattern(text.casefold()) for topic in templates(other)["topics"].values() for text in topic]
    found = [row["input"] for row in rows(split) if any(p.search(row["input"].casefold()) for p in patterns)]
    assert found == []


def test_no_message_occurs_twice() -> None:
    """All messages of both files differ in more than capital letters."""
    texts = [row["input"].casefold() for split in make_data.FILES for row in rows(split)]
    assert len(texts) == len(set(texts))


@pytest.mark.parametrize(("split", "low", "high"), [("train", 400, 600), ("held_out", 100, 160)])
def test_rows_are_alpaca_rows_of_the_promised_number(split: str, low: int, high: int) -> None:
    """Each row has an instruction that names every topic, a message and a topic as its answer."""
    found = rows(split)
    assert low <= len(found) <= high
    assert {frozenset(row) for row in found} == {frozenset({"instruction", "input", "output"})}
    assert {row["output"] for row in found} == TOPICS
    assert all(topic in row["instruction"] for row in found for topic in TOPICS)


def test_the_commonest_topic_is_a_weak_baseline() -> None:
    """Always answering the commonest topic is right on less than a quarter of the held-out rows."""
    counts = Counter(row["output"] for row in rows("held_out"))
    assert counts.most_common(1)[0][1] / counts.total() < 0.25


def test_the_topic_word_alone_does_not_give_the_answer() -> None:
    """Answering with the one topic that the message names is right on less than half of the held-out rows."""
    found = rows("held_out")
    named = [[topic for topic in TOPICS if topic.rstrip("s") in row["input"].casefold()] for row in found]
    right = sum(names == [row["output"]] for names, row in zip(named, found, strict=True))
    assert right / len(found) < 0.5
