"""Exact match and ROUGE-L against published examples, and a plain table for the subsequence."""

from __future__ import annotations

import random

import pytest

from runner.evaluate.metrics import exact_match, longest_common, rouge_l


@pytest.mark.parametrize(
    ("answer", "expected", "f"),
    [
        ("police kill the gunman", "police killed the gunman", 0.75),
        ("the gunman kill police", "police killed the gunman", 0.5),
        ("the gunman police killed", "police killed the gunman", 0.5),
        ("testing two", "testing one two", 0.8),
        ("", "testing one two", 0.0),
        ("anything", "something else", 0.0),
    ],
)
def test_rouge_l_gives_published_values(answer: str, expected: str, f: float) -> None:
    """The three sentences of Lin 2004, section 3.1; then an example of the tests of google-research/rouge."""
    assert rouge_l(answer, expected) == pytest.approx(f)


def test_rouge_l_keeps_polish_words_whole() -> None:
    """A diacritic ends no word, in either Unicode form."""
    assert rouge_l("Zażółć GĘŚLĄ jaźń", "zażo\u0301łć gęślą jaźn\u0301") == 1.0
    assert rouge_l("jaźń", "ja") == 0.0


def test_the_bit_parallel_subsequence_is_that_of_the_table() -> None:
    """On random words the answer of the textbook's table, row by row."""
    generator = random.Random(1)
    for _ in range(200):
        first, second = (["abcd"[generator.randrange(4)] for _ in range(generator.randrange(1, 40))] for _ in range(2))
        row = [0] * (len(second) + 1)
        for word in first:
            before = row
            row = [0]
            for at, other in enumerate(second):
                row.append(before[at] + 1 if word == other else max(before[at + 1], row[at]))
        assert longest_common(first, second) == row[-1]


def test_exact_match_forgives_case_space_and_unicode_form_only() -> None:
    """Anything else that differs is a miss."""
    assert exact_match(" Karta\n kredytowa ", "karta kredytowa")
    assert exact_match("z\u0301le", "źle")
    assert not exact_match("karta.", "karta")
    assert not exact_match("", "karta")
