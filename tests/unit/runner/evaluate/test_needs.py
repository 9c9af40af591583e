"""Metrics whose packages an image lacks are refused by name, before anything is trained."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from runner import prechecks
from runner.evaluate import needs
from runner.evaluate.needs import PACKAGES
from runner.exits import BadSpec
from tests.evaluating import make_evaluated


def test_a_metric_without_its_packages_is_refused_before_training(tmp_path: Path) -> None:
    """The prechecks name metric and packages: exit code 2, and no GPU hour is spent."""
    missing = [package for package in PACKAGES["llamafactory_bleu_4"] if find_spec(package) is None]
    assert missing, "this environment has the extra `evaluation`: the refusal must be tried in one without it"
    paths = make_evaluated(tmp_path, metrics=["exact_match", "llamafactory_bleu_4"])
    with pytest.raises(BadSpec, match=rf"llamafactory_bleu_4 \({', '.join(missing)}\)"):
        prechecks.check(paths)


def test_metrics_of_our_own_need_nothing(tmp_path: Path) -> None:
    """Exact match, ROUGE-L and perplexity work in every image."""
    needs.check(make_evaluated(tmp_path).lock)
