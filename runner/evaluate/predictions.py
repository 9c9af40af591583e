"""One model's answers to the held-out rows, kept batch by batch: an interrupted evaluation goes on behind its last whole batch."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Prediction:
    """What one model gave for one row.

    answer: its greedy continuation; None where no metric wants one. surprise: minus the log-likelihood (nats) of the expected
    answer's `tokens` tokens, its end included; both 0 where perplexity is not wanted.
    """

    row: int
    answer: str | None
    surprise: float
    tokens: int


class Predictions:
    """The file of one model: a line with the identity of what is asked of whom, then one line a batch.

    identity: 64 hexadecimal digits over everything that an answer depends on; a file of another identity is another file.
    Batches are whole or absent, so that going on gives what one go would have given.
    """

    def __init__(self, folder: Path, role: str, identity: str) -> None:
        self.file = folder / f"{role}-{identity[:16]}.jsonl"
        self._identity = identity
        self._batches: dict[int, dict[str, Any]] = {}
        end = self._load()
        if end is None:
            self.file.write_text(json.dumps({"identity": identity}) + "\n", encoding="utf-8")
        elif end < self.file.stat().st_size:  # what a kill left of a line
            os.truncate(self.file, end)

    @property
    def seconds(self) -> float:
        """Time that all kept batches took."""
        return sum(float(batch["seconds"]) for batch in self._batches.values())

    def has(self, batch: int) -> bool:
        """Whether a batch is there."""
        return batch in self._batches

    def add(self, batch: int, seconds: float, predictions: list[Prediction]) -> None:
        """Keep a batch; it is on the disk when this returns."""
        rows = [[each.row, each.answer, each.surprise, each.tokens] for each in predictions]
        entry = {"batch": batch, "seconds": round(seconds, 3), "rows": rows}
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry, ensure_ascii=False) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        self._batches[batch] = entry

    def all(self) -> list[Prediction]:
        """Every kept prediction, by row."""
        found = [Prediction(*row) for batch in self._batches.values() for row in batch["rows"]]
        return sorted(found, key=lambda each: each.row)

    def _load(self) -> int | None:
        """Read what is there; where it ends to be whole (bytes), or None where the file is to begin anew."""
        if not self.file.is_file():
            return None
        end = 0
        with self.file.open("rb") as stream:
            for number, line in enumerate(stream):
                entry = _entry(line)
                if number == 0:
                    if entry.get("identity") != self._identity:
                        return None
                elif "batch" not in entry:
                    break
                else:
                    self._batches[int(entry["batch"])] = entry
                end += len(line)
        return end or None


def _entry(line: bytes) -> dict[str, Any]:
    """A line's content; empty for one that was not written to its end."""
    if not line.endswith(b"\n"):
        return {}
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
