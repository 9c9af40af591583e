"""How the tools see a checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.errors import UsageError
from tools.repository import Repository

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """An almost empty repository."""
    for folder in ("tenants/team-a/datasets", "catalog/models", "experiments/team-a"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def test_it_is_found_from_any_folder_inside(checkout: Path) -> None:
    """Starting deep inside finds the root."""
    assert Repository.find(checkout / "experiments" / "team-a").root == checkout


def test_a_folder_outside_is_a_usage_error(tmp_path: Path) -> None:
    """The message says how to name the repository."""
    with pytest.raises(UsageError, match="--repo"):
        Repository.find(tmp_path)


def test_a_path_outside_the_repository_is_refused(checkout: Path) -> None:
    """`..` does not lead out."""
    with pytest.raises(UsageError, match="outside"):
        Repository(checkout).relative(checkout / "experiments" / ".." / ".." / "elsewhere.yaml")


def test_a_linked_folder_is_not_followed(checkout: Path) -> None:
    """A file below a symbolic link is a finding, not content."""
    (checkout / "tenants" / "team-b").symlink_to(ROOT / "tenants" / "team-a")
    document = Repository(checkout).document("tenants/team-b/tenant.yaml")
    assert document.data is None
    assert [finding.rule for finding in document.findings] == ["file-kind"]


def test_a_file_is_read_once() -> None:
    """What every experiment looks up is the same object each time."""
    repository = Repository(ROOT)
    assert repository.tenant("team-a") is not None
    assert repository.tenant("team-a") is repository.tenant("team-a")


def test_an_invalid_catalogue_entry_counts_as_none(checkout: Path) -> None:
    """Rules do not judge by a model that is itself faulty."""
    (checkout / "catalog" / "models" / "broken.yaml").write_text("version: 1\n")
    assert Repository(checkout).model("broken") is None
    assert Repository(checkout).model("absent") is None
