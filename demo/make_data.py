"""Writes the demo's data set: messages of a bank's customers, to be sorted into topics.

Alpaca rows (instruction, input, output), made from demo/data/templates.yaml. Same templates and seed, same bytes; the output
is committed and a test compares it.

    python -m demo.make_data
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

DATA = Path(__file__).parent / "data"
TEMPLATES = DATA / "templates.yaml"
SEED = 2026
INSTRUCTION = "Give only the topic of this message: card, transfer, loan, fees, login, fraud or savings."
# Rows per topic; unequal as in a real inbox, so that the majority class is a baseline worth naming.
ROWS = {
    "train": {"card": 76, "transfer": 64, "fraud": 60, "fees": 54, "login": 54, "loan": 48, "savings": 44},
    "held_out": {"card": 26, "transfer": 22, "fraud": 20, "fees": 18, "login": 18, "loan": 16, "savings": 14},
}
FILES = {"train": "customer-topics.json", "held_out": "customer-topics-held-out.json"}

Row = dict[str, str]


def make(split: str, templates: dict[str, Any]) -> list[Row]:
    """Rows of one split, shuffled, no message twice; the two splits draw from random streams of their own."""
    dice = random.Random(f"{SEED}-{split}")
    rows = []
    for topic, count in ROWS[split].items():
        fresh = islice(distinct(messages(topic, templates[split], templates["slots"], dice)), count)
        rows += [{"instruction": INSTRUCTION, "input": message, "output": topic} for message in fresh]
    dice.shuffle(rows)
    return rows


def messages(topic: str, parts: dict[str, Any], slots: dict[str, list[str]], dice: random.Random) -> Iterator[str]:
    """Endless messages of a topic, each template in turn, dressed as people write: greetings, thanks, haste and typos."""
    while True:
        for template in dice.sample(parts["topics"][topic], k=len(parts["topics"][topic])):
            text = punctuate(fill(template, slots, dice), dice)
            if dice.random() < 0.3:
                text = f"{dice.choice(parts['openings'])} {text}"
            elif dice.random() < 0.6:
                text = text[0].upper() + text[1:]
            if dice.random() < 0.3:
                text = f"{text} {dice.choice(parts['closings'])}"
            yield hurry(text, dice)


def fill(template: str, slots: dict[str, list[str]], dice: random.Random) -> str:
    """Put a value into each slot of a template."""
    return re.sub(r"\{(\w+)\}", lambda slot: dice.choice(slots[slot[1]]), template)


def punctuate(text: str, dice: random.Random) -> str:
    """Most people end a message with a mark; some do not."""
    if text.endswith("?"):
        return text
    question = re.match(r"(how|what|when|where|which|why|can|could|do|does|is|should|will)\b", text, re.IGNORECASE)
    return text + dice.choices(["?" if question else ".", "", "!!"], weights=[70, 20, 10])[0]


def hurry(text: str, dice: random.Random) -> str:
    """One message in four has a typo, one in ten has no capital letters."""
    if dice.random() < 0.25:
        text = typo(text, dice)
    return text.lower() if dice.random() < 0.1 else text


def typo(text: str, dice: random.Random) -> str:
    """Swap, drop or double a letter inside one of the longer words."""
    word = dice.choice(re.findall(r"[A-Za-z]{5,}", text))
    at = dice.randrange(1, len(word) - 2)
    head, first, second, tail = word[:at], word[at], word[at + 1], word[at + 2 :]
    return text.replace(word, head + dice.choice([second + first, second, first + first + second]) + tail, 1)


def distinct(texts: Iterator[str]) -> Iterator[str]:
    """The texts without repetitions, where case counts for nothing."""
    seen: set[str] = set()
    for text in texts:
        if text.casefold() not in seen:
            seen.add(text.casefold())
            yield text


def render(rows: list[Row]) -> str:
    """JSON text with one row a line, so that a diff shows rows."""
    return "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: write both files into a folder, demo/data/ when none is named."""
    parser = argparse.ArgumentParser(prog="python -m demo.make_data", description="Write the demo's two data files.")
    parser.add_argument("--output", type=Path, default=DATA, metavar="DIR", help="where to write (default: demo/data)")
    output = parser.parse_args(argv).output
    templates = yaml.safe_load(TEMPLATES.read_text(encoding="utf-8"))
    for split, name in FILES.items():
        (output / name).write_text(render(make(split, templates)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
