"""The statistics of learning: what is recovered, what is withstood, and what nobody can push beyond its bounds."""

from __future__ import annotations

import math
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.predict.correction import LEAST, MOST_FACTOR, Correction, Sample, correction
from tools.predict.pairs import Kind

H100 = "h100-80gb"
KIND = Kind(H100, "lora", "seven-b")
OTHER_MODEL, OTHER_METHOD = KIND._replace(model="one-b"), Kind(H100, "full", "one-b")


def samples(*ratios: float, kind: Kind = KIND, tenant: str = "team-a") -> list[Sample]:
    """Runs of a tenant that measured so many times what the formulas said."""
    return [Sample(kind, tenant, math.log(ratio)) for ratio in ratios]


def test_nothing_is_learnt_from_fewer_than_three_runs() -> None:
    """Two runs may both be odd: the formulas stand, and no error is promised."""
    assert correction([], KIND) == Correction()
    assert correction(samples(1.5, 1.5), KIND) == Correction()
    assert correction(samples(1.5, 1.5, 1.5), KIND).runs == LEAST


@pytest.mark.parametrize("runs", [3, 5, 20])
def test_runs_that_agree_are_believed_the_more_the_more_they_are(runs: int) -> None:
    """Three levels of n runs each leave (2 / (n + 2)) cubed of the way to their ratio."""
    found = correction(samples(*[1.3] * runs), KIND)
    assert found.factor == pytest.approx(1.3 ** (1 - (2 / (runs + 2)) ** 3))
    assert found.group == KIND
    assert found.error is not None
    assert found.error < 0.04


def test_the_finest_group_with_enough_runs_decides() -> None:
    """Its own runs outweigh those of other models and methods; where they are missing, the next coarser ones speak."""
    own, method, gpu = (
        samples(1.4, 1.4, 1.4),
        samples(*[0.9] * 9, kind=OTHER_MODEL),
        samples(*[0.7] * 30, kind=OTHER_METHOD),
    )
    everything = [*own, *method, *gpu]
    assert correction(everything, KIND).factor == pytest.approx(1.4, rel=0.25)
    assert correction(everything, KIND).group == KIND
    assert correction([*own[:2], *method, *gpu], KIND).group == (H100, "lora")
    assert correction([*own[:2], *gpu], KIND).group == (H100,)
    assert correction(everything, KIND._replace(gpu="a100-80gb")) == Correction()


def test_runs_of_one_model_promise_little_for_another() -> None:
    """A model never seen is predicted from others, and so is the error: here each model's runs are far from the other's."""
    there = [*samples(*[1.0] * 4, kind=OTHER_MODEL), *samples(*[1.8] * 4, kind=KIND._replace(model="two-b"))]
    unseen = correction(there, KIND)
    assert unseen.group == (H100, "lora")
    assert unseen.error is not None
    assert unseen.error > 0.3
    seen = correction([*there, *samples(1.4, 1.4, 1.4)], KIND)
    assert seen.error is not None
    assert seen.error < 0.1


@given(st.lists(st.floats(-700, 700), max_size=40), st.sampled_from([KIND, OTHER_MODEL, OTHER_METHOD]))
def test_no_measurement_leads_out_of_bounds(logs: list[float], kind: Kind) -> None:
    """Whatever is logged, estimates are at most halved and doubled, and every number is finite."""
    found = correction([Sample(kind, "team-a", log) for log in logs], KIND)
    assert found.factor * (1 + 1e-9) >= 1 / MOST_FACTOR
    assert found.factor <= MOST_FACTOR * (1 + 1e-9)
    assert found.error is None or math.isfinite(found.error)


@given(st.lists(st.floats(0.8, 1.25), min_size=7, max_size=15), st.lists(st.floats(1e-6, 1e6), max_size=3))
def test_a_minority_moves_the_median_within_the_others_values(honest: list[float], lies: list[float]) -> None:
    """Fewer than half of the runs lie: the correction stays between the honest ratios and 1."""
    found = correction(samples(*lies, *honest), KIND)
    assert min(1.0, *honest) - 1e-9 <= found.factor <= max(1.0, *honest) + 1e-9


def test_one_tenants_many_runs_are_no_majority() -> None:
    """A thousand runs of one tenant weigh as its newest twenty; thirty honest ones of two others outvote them."""
    flood = samples(*[1000.0] * 1000, tenant="team-x")
    honest = [*samples(*[1.1] * 15, tenant="team-b"), *samples(*[1.1] * 15, tenant="team-c")]
    assert correction([*flood, *honest], KIND).factor == pytest.approx(1.1, rel=0.02)


def test_the_promised_error_is_kept_by_four_of_five() -> None:
    """Of runs that scatter by 10 %, 80 % are within what was promised; never far more or fewer."""
    scatter = [NormalDist(0.2, 0.1).inv_cdf((index + 0.5) / 19) for index in range(19)]
    found = correction([Sample(KIND, "team-a", log) for log in scatter], KIND)
    assert found.error is not None
    errors = [abs(found.factor / math.exp(log) - 1) for log in scatter]
    assert 0.7 <= sum(error <= found.error for error in errors) / len(errors) <= 0.95
