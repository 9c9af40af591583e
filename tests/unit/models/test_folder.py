"""Which files a model's folder may hold."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from tests.tiny_model import tiny_llama
from tools.errors import UsageError
from tools.models import card, folder

TINY = tiny_llama()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A copy of the small model."""
    return Path(shutil.copytree(TINY, tmp_path / "model"))


def test_every_file_is_listed_but_hidden_ones(place: Path) -> None:
    """What a download tool keeps for itself is no part of the model."""
    (place / ".cache").mkdir()
    (place / ".cache" / "lock").touch()
    assert folder.files_of(place) == ["README.md", "config.json", "model.safetensors", "tokenizer.json"]


def test_links_count_as_what_they_lead_to(place: Path, tmp_path: Path) -> None:
    """In a Hugging Face cache each file is a link to a blob; its content is hashed."""
    blob = tmp_path / "blob"
    shutil.move(place / "config.json", blob)
    (place / "config.json").symlink_to(blob)
    found = folder.hashed(place, folder.files_of(place))["config.json"]
    assert (found.sha256, found.size) == (hashlib.sha256(blob.read_bytes()).hexdigest(), blob.stat().st_size)


def test_links_to_nothing_or_to_folders_are_refused(place: Path, tmp_path: Path) -> None:
    """Such links would make the model depend on what lies elsewhere."""
    (place / "more").symlink_to(tmp_path)
    with pytest.raises(UsageError, match="a link to a folder or to nothing"):
        folder.files_of(place)


def test_pipes_are_refused(place: Path) -> None:
    """Reading one would wait for ever."""
    os.mkfifo(place / "pipe.json")
    with pytest.raises(UsageError, match="no regular file"):
        folder.files_of(place)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "consolidated.00.pth", "training_args.bin", "optimizer.pt"])
def test_pickles_are_refused_with_the_remedy(name: str, place: Path) -> None:
    """Files that can run code are refused by name, and the message says how to convert them."""
    (place / name).touch()
    with pytest.raises(UsageError, match=r"may be a Python pickle.*allowed: \*\.safetensors; delete it"):
        folder.files_of(place)


def test_code_is_refused(place: Path) -> None:
    """A model that brings its own Python would need trust_remote_code, which the platform never sets."""
    (place / "modeling_tiny.py").touch()
    with pytest.raises(UsageError, match="is code, which the platform never runs"):
        folder.files_of(place)


def test_a_folder_without_a_tokenizer_is_refused(place: Path) -> None:
    """Weights alone cannot be trained from."""
    (place / "tokenizer.json").unlink()
    with pytest.raises(UsageError, match="holds no tokenizer"):
        folder.files_of(place)


def test_odd_names_are_refused(place: Path) -> None:
    """A name with a blank would break LLaMA Factory's command line."""
    (place / "my notes.txt").touch()
    with pytest.raises(UsageError, match="a name that is not allowed"):
        folder.files_of(place)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("---\nlicense: MIT\n---\n", "mit"),
        ("---\nlicense: other\nlicense_name: llama3.1\n---\n", "llama3.1"),
        ("---\nlicense: [mit]\n---\n", None),
        ("---\nlicense: 'mit\n---\n", None),
        ("# No front matter\nlicense: mit\n", None),
        ("", None),
    ],
)
def test_the_licence_is_that_of_the_front_matter(text: str, expected: str | None, tmp_path: Path) -> None:
    """Only what README.md states in its front matter counts."""
    (tmp_path / "README.md").write_text(text)
    assert card.licence(tmp_path) == expected
