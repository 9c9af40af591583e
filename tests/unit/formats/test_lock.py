"""The lock's identity."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.formats.digest import digest
from tools.formats.lock import Authorized, Lock, is_sealed, seal
from tools.repository import Repository

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def lock() -> Lock:
    """The lock of the demo's overlay."""
    return Repository(ROOT).lock("overlays/dev/team-a/exp-001/run.yaml")


def test_run_id_is_name_and_first_eight_digits_of_the_hash(lock: Lock) -> None:
    """The run id joins the experiment's name and eight digits of the full hash."""
    assert lock.run_id == f"exp-001-{digest(lock.run)[:8]}"


def test_attempt_state_and_authorization_do_not_make_another_run(lock: Lock) -> None:
    """A retry, a cancellation and the bot's record keep the run id."""
    record = Authorized(at="2026-01-02T03:04:05Z", commit="a" * 40, merge_request=7, approvers=["maria.wisniewska"])
    again = seal(lock.run, attempt=2, state="cancelled", authorized=record)
    assert (again.run_id, again.sha256) == (lock.run_id, lock.sha256)
    assert again.job_name == f"{lock.run_id}-a2"


@pytest.mark.parametrize("change", [{"tenant": "team-b"}, {"environment": "prod"}, {"uid": 10002}, {"image": "other"}])
def test_anything_that_decides_the_run_makes_another_run(lock: Lock, change: dict[str, object]) -> None:
    """Tenant, environment, user and image are part of the identity."""
    assert digest(lock.run.model_copy(update=change)) != lock.sha256


def test_an_edited_lock_is_not_sealed(lock: Lock) -> None:
    """Changing a setting without the hash is noticed."""
    settings = {**lock.run.settings, "learning_rate": 1.0}
    assert is_sealed(lock)
    assert not is_sealed(lock.model_copy(update={"run": lock.run.model_copy(update={"settings": settings})}))


def test_an_edited_run_id_is_not_sealed(lock: Lock) -> None:
    """A run id that is not that of the content is noticed."""
    assert not is_sealed(lock.model_copy(update={"run_id": "exp-001-00000000"}))
