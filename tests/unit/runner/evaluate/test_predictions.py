"""The kept predictions: whole batches or none, whatever a kill left of the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.evaluate.predictions import Prediction, Predictions

IDENTITY, OTHER = "a" * 64, "b" * 64


def filled(folder: Path) -> Predictions:
    """Two batches of two rows."""
    kept = Predictions(folder, "base", IDENTITY)
    kept.add(0, 1.5, [Prediction(3, "tak", 0.5, 2), Prediction(1, "zażółć", 1.25, 4)])
    kept.add(1, 2.0, [Prediction(0, None, 2.0, 1), Prediction(2, "", 0.0, 0)])
    return kept


def test_what_was_kept_is_read_again(tmp_path: Path) -> None:
    """Rows in their order, to the last digit; the seconds add up."""
    kept, again = filled(tmp_path), Predictions(tmp_path, "base", IDENTITY)
    assert again.all() == kept.all()
    assert [each.row for each in again.all()] == [0, 1, 2, 3]
    assert again.seconds == 3.5
    assert again.has(1)
    assert not again.has(2)


@pytest.mark.parametrize("lost", [1, 5, 40])
def test_a_line_that_was_not_written_to_its_end_is_dropped(tmp_path: Path, lost: int) -> None:
    """The batch before it stays, and the next one is written behind that, not behind the rest."""
    file = filled(tmp_path).file
    whole = file.read_bytes()
    file.write_bytes(whole[:-lost])
    again = Predictions(tmp_path, "base", IDENTITY)
    assert [again.has(number) for number in (0, 1)] == [True, False]
    again.add(1, 2.0, [Prediction(0, None, 2.0, 1), Prediction(2, "", 0.0, 0)])
    assert file.read_bytes() == whole


def test_answers_to_something_else_are_not_taken(tmp_path: Path) -> None:
    """Another identity (model, rows, length, versions) begins a file of its own."""
    filled(tmp_path)
    other = Predictions(tmp_path, "base", OTHER)
    assert other.all() == []
    assert len(list(tmp_path.iterdir())) == 2


def test_a_file_whose_first_line_is_damaged_begins_anew(tmp_path: Path) -> None:
    """Nobody knows what such answers are of."""
    file = filled(tmp_path).file
    file.write_bytes(b"\0" + file.read_bytes())
    assert Predictions(tmp_path, "base", IDENTITY).all() == []
    assert Predictions(tmp_path, "base", IDENTITY).all() == []
