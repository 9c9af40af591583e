"""What an answer is worth against the expected one: exact match and ROUGE-L."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_WORD = re.compile(r"\w+")


def exact_match(answer: str, expected: str) -> bool:
    """Whether both are the same text: Unicode form, case, and white space at the ends and between words aside."""
    return _plain(answer) == _plain(expected)


def rouge_l(answer: str, expected: str) -> float:
    """F-measure (0 to 1) of the longest common subsequence of words, recall and precision weighed alike.

    Source: Lin 2004, ROUGE: A Package for Automatic Evaluation of Summaries, section 3.1, with beta 1. Words are runs of
    Unicode letters, digits and underscores in lower case, without stemming; the package rouge-score takes a-z and 0-9 alone, which
    breaks every Polish word with a diacritic.
    """
    found, wanted = words(answer), words(expected)
    common = longest_common(found, wanted)
    return 2 * common / (len(found) + len(wanted)) if common else 0.0


def words(text: str) -> list[str]:
    """The words that ROUGE-L compares."""
    return _WORD.findall(unicodedata.normalize("NFC", text).casefold())


def longest_common(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence.

    Bit-parallel, a row of the table in one integer: Hyyrö 2004, Bit-parallel LCS-length computation revisited.
    """
    places: dict[str, int] = {}
    for index, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << index
    everything = (1 << len(first)) - 1
    row = everything
    for word in second:
        matches = row & places.get(word, 0)
        row = ((row + matches) | (row - matches)) & everything
    return len(first) - row.bit_count()


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())
