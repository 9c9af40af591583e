"""What has to be looked at again: the changed, and what depends on it."""

from __future__ import annotations

import pytest

from ci.changed import Changed
from ci.scope import scope
from tests.unit.ci.conftest import Checkout

EXPERIMENT = "experiments/team-a/exp-001.yaml"
OVERLAY = "overlays/dev/team-a/exp-001"


def test_one_experiment_is_looked_at_alone(checkout: Checkout) -> None:
    """A new experiment costs one validation and one plan, however many others there are."""
    checkout.commit({"experiments/team-a/exp-002.yaml": "a: 1\n"})
    what = scope(checkout.root, Changed(("experiments/team-a/exp-002.yaml",), ()))
    assert what.files == what.experiments == ("experiments/team-a/exp-002.yaml",)
    assert (what.checked, what.rendered) == ((), ())


@pytest.mark.parametrize("removed", [False, True])
def test_an_authorized_experiment_is_compared_with_its_lock(checkout: Checkout, *, removed: bool) -> None:
    """Whether changed or removed: its overlay is looked at."""
    found = Changed((), (EXPERIMENT,)) if removed else Changed((EXPERIMENT,), ())
    assert scope(checkout.root, found).checked == (OVERLAY,)


@pytest.mark.parametrize(
    "path",
    [
        "tenants/team-a/tenant.yaml",
        "tenants/team-a/datasets/customer-topics.yaml",
        "catalog/models/smollm2-135m-instruct.yaml",
        "overlays/dev/team-a/exp-001/run.yaml",
    ],
)
@pytest.mark.parametrize("removed", [False, True])
def test_what_an_experiment_names_brings_it_back(path: str, checkout: Checkout, *, removed: bool) -> None:
    """A changed tenant, dataset, model or lock, and a removed one, lets the experiments that read it be validated."""
    files = scope(checkout.root, Changed((), (path,)) if removed else Changed((path,), ())).files
    assert files is not None
    assert EXPERIMENT in files


def test_a_dataset_brings_only_those_that_name_it(checkout: Checkout) -> None:
    """A dataset whose name is only part of the used one's concerns nobody."""
    what = scope(checkout.root, Changed(("tenants/team-a/datasets/customer.yaml",), ()))
    assert what.files == ("tenants/team-a/datasets/customer.yaml",)


@pytest.mark.parametrize(
    ("path", "everything"),
    [
        ("tools/validate.py", {"files", "checked", "rendered"}),
        ("ci/check.py", {"files", "checked", "rendered"}),
        ("requirements/dev.txt", {"files", "checked", "rendered"}),
        (".gitlab-ci.yml", {"files", "checked", "rendered"}),
        ("base/training/v1/job.yaml", {"checked", "rendered"}),
        ("audit/dev/team-a/exp-001-00000000.yaml", {"checked"}),
        ("overlays/dev/_platform/lock.yaml", {"checked"}),
        ("overlays/dev/_tenants/team-a/lock.yaml", {"checked"}),
        ("environments/dev.yaml", {"files"}),
        ("catalog/gpus.yaml", {"files"}),
        ("README.md", set()),
        ("runner/train.py", set()),
    ],
)
def test_what_decides_everything_lets_everything_be_looked_at(
    path: str, everything: set[str], checkout: Checkout
) -> None:
    """Tools, bases and environments are read by all files or overlays; documents by none."""
    what = scope(checkout.root, Changed((path,), ()))
    assert {name for name in ("files", "checked", "rendered") if getattr(what, name) is None} == everything


@pytest.mark.parametrize("folder", [OVERLAY, "overlays/dev/_tenants/team-a", "overlays/dev/_platform"])
def test_changed_overlays_are_rendered(folder: str, checkout: Checkout) -> None:
    """Those of experiments, of tenants and of the platform; a removed one has nothing left to render."""
    assert scope(checkout.root, Changed((f"{folder}/kustomization.yaml",), ())).rendered == (folder,)
    assert scope(checkout.root, Changed((), ("overlays/dev/team-a/exp-000/run.yaml",))).rendered == ()


def test_nobody_knows_what_changed(checkout: Checkout) -> None:
    """Without a commit to compare with everything is looked at."""
    what = scope(checkout.root, None)
    assert (what.files, what.checked, what.rendered) == (None, None, None)
