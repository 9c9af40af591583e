"""A safetensors header is a stranger's: whatever is wrong with it is named, and nothing is read by it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runner.exits import Mismatch
from runner.merge import headers
from tests.runs import write_tensors

GOOD = {"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}


def write(file: Path, header: Any, data: bytes = bytes(16), *, length: int | None = None) -> Path:
    """A file with that header (text as it is, else as JSON) and that data."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    file.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return file


def entry(**changes: Any) -> dict[str, Any]:
    """The good header with parts of its one entry changed."""
    return {"a": {**GOOD["a"], **changes}}


def test_a_good_header_gives_places_and_its_own_bytes(tmp_path: Path) -> None:
    """Tensors in the order of their data, offsets from the file's begin."""
    write_tensors(tmp_path / "m.safetensors", {"b": (3,), "a": (2, 2)})
    found = headers.read(tmp_path / "m.safetensors")
    assert list(found.tensors) == ["b", "a"]
    assert found.tensors["a"].offset == found.tensors["b"].offset + 12
    assert (tmp_path / "m.safetensors").read_bytes().startswith(found.raw)
    assert found.metadata == {"format": "pt"}


@pytest.mark.parametrize(
    ("header", "named"),
    [
        (entry(data_offsets=[-16, 0]), "whole numbers from 0 on"),
        (entry(data_offsets=[0, 8]), "8 bytes for F32"),
        (entry(data_offsets=[16, 0]), "-16 bytes"),
        (entry(data_offsets=[0, 16, 32]), "whole numbers"),
        (entry(shape=[2**63, 2**63]), "bytes for F32"),
        (entry(shape=[True, 4]), "whole numbers"),
        (entry(shape=[2.0, 2]), "whole numbers"),
        (entry(shape="22"), "whole numbers"),
        (entry(dtype="F128"), "dtype F128"),
        (entry(dtype=["F32"]), "dtype"),
        (entry(extra=1), "entry"),
        ({"a": 5}, "entry 5"),
        ({**GOOD, "b": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}}, "overlaps"),
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}}, "leaves a hole"),
        ({**GOOD, "__metadata__": {"format": 1}}, "__metadata__"),
        ([], "the header is list"),
        (b'{"a": 1, "a": 2}', "'a' twice"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": \xff}', "no valid JSON"),
        (b"{" + b" " * 20, "no valid JSON"),
    ],
)  # fmt: skip
def test_a_hostile_header_is_refused_by_what_is_wrong(tmp_path: Path, header: Any, named: str) -> None:
    """Negative, overlapping, huge, of another type, twice, too deep."""
    with pytest.raises(Mismatch, match=named):
        headers.read(write(tmp_path / "m.safetensors", header))


@pytest.mark.parametrize("length", [0, 1, 17 + 2**10, 2**63, 2**64 - 1])
def test_a_length_beyond_the_file_allocates_nothing(tmp_path: Path, length: int) -> None:
    """The first eight bytes may claim 16 exabytes."""
    with pytest.raises(Mismatch, match="header of"):
        headers.read(write(tmp_path / "m.safetensors", GOOD, length=length))


def test_a_header_of_a_gigabyte_is_not_parsed(tmp_path: Path) -> None:
    """JSON takes ten times its size in memory."""
    file = write(tmp_path / "m.safetensors", GOOD, length=2**30)
    with file.open("r+b") as stream:
        stream.truncate(2**31)
    with pytest.raises(Mismatch, match="header of 1073741824 bytes"):
        headers.read(file)


@pytest.mark.parametrize(("size", "named"), [(-1, "truncated"), (1, "longer than its header says")])
def test_a_file_of_another_size_is_refused(tmp_path: Path, size: int, named: str) -> None:
    """One byte less or more."""
    with pytest.raises(Mismatch, match=named):
        headers.read(write(tmp_path / "m.safetensors", GOOD, bytes(16 + size)))


@pytest.mark.parametrize("content", [b"", b"1234567"])
def test_a_file_without_a_header_is_refused(tmp_path: Path, content: bytes) -> None:
    """Shorter than its length field."""
    (tmp_path / "m.safetensors").write_bytes(content)
    with pytest.raises(Mismatch, match="header of"):
        headers.read(tmp_path / "m.safetensors")


def test_links_folders_and_absent_files_are_refused(tmp_path: Path) -> None:
    """A link could lead out of the model's folder."""
    write(tmp_path / "m.safetensors", GOOD)
    (tmp_path / "link").symlink_to(tmp_path / "m.safetensors")
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    (tmp_path / "folder").mkdir()
    for name, named in (
        ("link", "symbolic link"),
        ("dangling", "symbolic link"),
        ("folder", "no regular file"),
        ("gone", "missing"),
    ):
        with pytest.raises(Mismatch, match=named):
            headers.read(tmp_path / name)
