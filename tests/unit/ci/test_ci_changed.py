"""Which files a pipeline's commits change, in real git repositories."""

from __future__ import annotations

import pytest

from ci.changed import base_commit, changed
from tests.unit.ci.conftest import Checkout

EXPERIMENT = "experiments/team-a/exp-001.yaml"


def test_added_changed_and_removed_are_told_apart(checkout: Checkout) -> None:
    """What exists now and what is gone are two lists; what was not touched is in neither."""
    before = checkout.head
    checkout.commit({"experiments/team-a/exp-002.yaml": "a: 1\n", "README.md": "more\n", EXPERIMENT: None})
    found = changed(checkout.root, before)
    assert found.present == ("README.md", "experiments/team-a/exp-002.yaml")
    assert found.removed == (EXPERIMENT,)


def test_a_renamed_file_is_removed_and_added(checkout: Checkout) -> None:
    """Renames are not followed: whoever looks at paths sees both."""
    before = checkout.head
    checkout.git("mv", EXPERIMENT, "experiments/team-a/exp-007.yaml")
    checkout.commit({})
    found = changed(checkout.root, before)
    assert (found.present, found.removed) == (("experiments/team-a/exp-007.yaml",), (EXPERIMENT,))


def test_names_that_shells_mangle_come_through(checkout: Checkout) -> None:
    """Spaces, quotes, newlines and letters beyond ASCII arrive as they are, for the validator to refuse."""
    before = checkout.head
    hostile = 'experiments/team-a/a "b"\n$(c) ż.yaml'
    checkout.commit({hostile: "a: 1\n"})
    assert changed(checkout.root, before).present == (hostile,)


def test_merge_request_is_compared_with_its_base(checkout: Checkout) -> None:
    """In a merge request's pipeline the base of its diff counts, not what the branch was before the push."""
    first = checkout.head
    second = checkout.commit({"README.md": "more\n"})
    both = {"CI_MERGE_REQUEST_DIFF_BASE_SHA": first, "CI_COMMIT_BEFORE_SHA": second}
    assert base_commit(checkout.root, both) == first
    assert base_commit(checkout.root, {"CI_COMMIT_BEFORE_SHA": second}) == second


@pytest.mark.parametrize("sha", [None, "", "0" * 40, "1" * 40, "--output=stolen", "--help"])
def test_without_a_known_base_there_is_none(sha: str | None, checkout: Checkout) -> None:
    """A first pipeline, a schedule or a rewritten history has nothing to compare with, and no option gets through to git."""
    assert base_commit(checkout.root, {} if sha is None else {"CI_COMMIT_BEFORE_SHA": sha}) is None
    assert not (checkout.root / "stolen").exists()
