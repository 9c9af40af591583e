"""evaluation.json and its tag: what is written is read again, what was changed is not, and whatever stands in a tag is bounded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools.formats import evaluation_table
from tools.formats.evaluation import (
    NAME,
    TAG_LENGTH,
    Behaved,
    Comparison,
    Damaged,
    Evaluation,
    Score,
    Scored,
    from_tag,
    read,
    seal,
    tag,
)

SHARE = Score(value=0.8, low=0.7, high=0.9)


def made(**changes: object) -> Evaluation:
    """A failed evaluation with a champion, and all that a table shows."""
    models = [
        Scored(role="base", name="tiny", rows=100, seconds=3.0, scores={"exact_match": SHARE}),
        Scored(role="candidate", name="team-a.support", rows=100, seconds=3.0, scores={"exact_match": SHARE}),
        Scored(
            role="champion",
            name="team-a.support",
            registered_version=4,
            rows=100,
            seconds=3.0,
            scores={"exact_match": SHARE},
        ),
    ]
    difference = Score(value=-0.1, low=-0.15, high=-0.05)
    fields: dict[str, object] = {
        "version": 1,
        "run_id": "exp-001-0a1b2c3d",
        "run_sha256": "ab" * 32,
        "model_name": "team-a.support",
        "verdict": "failed",
        "reasons": ["exact_match is worse than the champion's: the difference lies between -0.15 and -0.05"],
        "decides_by": "exact_match",
        "datasets": {"held-out": "cd" * 32},
        "rows": 100,
        "rows_in_training": 2,
        "models": models,
        "comparisons": [
            Comparison(against="champion", metric="exact_match", difference=difference, p_value=0.002, verdict="worse")
        ],
        "behaviours": [Behaved(name="polite", cases=3, failed_cases=1, failures=["greets: the answer is empty"])],
        "device": "CPU",
        "finished_at": "2026-11-23T10:00:00+00:00",
    }
    return Evaluation.model_validate(fields | changes)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    """A sealed evaluation survives its file."""
    sealed = seal(made())
    (tmp_path / NAME).write_text(sealed.model_dump_json(), encoding="utf-8")
    assert read(tmp_path / NAME) == sealed


@pytest.mark.parametrize("change", [("failed", "passed"), ("0.8", "0.9"), ('"version":1', '"version":2')])
def test_a_changed_file_is_damaged(tmp_path: Path, change: tuple[str, str]) -> None:
    """A verdict or a number that somebody corrected no longer has the checksum."""
    text = seal(made()).model_dump_json().replace(*change, 1)
    (tmp_path / NAME).write_text(text, encoding="utf-8")
    with pytest.raises(Damaged):
        read(tmp_path / NAME)


def test_a_tag_tells_the_same() -> None:
    """What fits is told whole, the checksum aside."""
    assert from_tag(tag(made())) == made()


def test_a_long_evaluation_is_shortened_to_the_limit() -> None:
    """Details of behaviours go first; verdict and scores stay."""
    many = [Behaved(name=f"b-{n}", cases=50, failed_cases=20, failures=["x" * 500] * 20) for n in range(4)]
    long = made(behaviours=many, notes=["n" * 500] * 50, reasons=["r" * 500] * 50)
    text = tag(long)
    assert len(text) <= TAG_LENGTH
    told = from_tag(text)
    assert told is not None
    assert (told.verdict, told.models) == (long.verdict, long.models)


@pytest.mark.parametrize("text", ["", "passed", "[]", "{}", '{"version": 1}', "[" * 5000])
def test_a_tag_that_is_no_evaluation_is_none(text: str) -> None:
    """Whoever may write the tenant's tags may write anything there."""
    assert from_tag(text) is None


def test_numbers_that_are_none_are_refused() -> None:
    """Not-a-number in a tag would pass every comparison."""
    data = json.loads(tag(made()).replace("0.8", "NaN", 1))
    assert from_tag(json.dumps(data)) is None


def test_the_table_has_a_column_a_model_and_each_difference() -> None:
    """Shares in percent with their intervals, the champion by its version, what was not compared by name."""
    head, rows = evaluation_table.scores(made())
    assert head == ("metric", "base (tiny)", "this run", "champion (version 4)", "against champion")
    assert rows == [
        (
            "exact_match",
            *["80.0% (70.0% to 90.0%)"] * 3,
            "worse: -10.0 (-15.0 to -5.0) points, p 0.002",
        )
    ]
    assert evaluation_table.behaviours(made())[1] == [("polite", "2 of 3", "greets: the answer is empty")]
    assert "failed, decided by exact_match on 100 rows of held-out, 2 more are training rows" in (
        evaluation_table.summary(made())
    )


def test_markdown_shows_texts_as_they_are() -> None:
    """Words of a model's answer become no table, link, mention or image."""
    hostile = Behaved(name="b", cases=1, failed_cases=1, failures=["| ![x](http://evil.example) @all `ls` <b>"])
    text = evaluation_table.markdown(made(behaviours=[hostile]))
    assert r"\| \!\[x\](http://evil.example) \@all \`ls\` \<b\>" in text
