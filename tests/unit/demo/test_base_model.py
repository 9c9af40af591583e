"""When the demo's base model folder counts as complete."""

from __future__ import annotations

from pathlib import Path

from demo.base_model import SHA256, faults


def test_a_folder_that_does_not_exist_lacks_every_file(tmp_path: Path) -> None:
    """Each pinned file is reported as missing."""
    assert faults(tmp_path / "none") == [f"{name}: missing" for name in SHA256]


def test_changed_and_foreign_files_are_faults(tmp_path: Path) -> None:
    """A file with other bytes and a file that the model has not are both named."""
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    found = faults(tmp_path)
    assert found[0] == "pytorch_model.bin: not part of the model"
    assert any(fault.startswith("config.json: sha256 44136fa355b3678a") for fault in found)
