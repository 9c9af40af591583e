"""`make gpu-check` for real: on a CPU with a tiny model always, and on a GPU where there is one."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from runner import gpu
from tests.runs import write_model

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(find_spec("llamafactory") is None, reason="needs the runner's environment"),
]
ROOT = Path(__file__).parents[2]
COLUMNS = 12


def check(*arguments: str, scratch: Path) -> subprocess.CompletedProcess[str]:
    """The command."""
    command = [sys.executable, "-m", "bench.gpu_check", *arguments, "--scratch", str(scratch)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)


def test_a_tiny_model_on_the_cpu_gives_a_whole_line(tmp_path: Path) -> None:
    """Model and rows catalogued by `ft`, planned, trained by the runner; speed, share, memory and start stand in the table."""
    write_model(tmp_path / "tiny")
    arguments = ("--device", "cpu", "--base", str(tmp_path / "tiny"), "--template", "chatml", "--lines-only")
    done = check(*arguments, "--only", "lora published", "--steps", "4", scratch=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("**CPU**")
    (line,) = [text for text in done.stdout.splitlines() if text.startswith("| own")]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert len(cells) == COLUMNS
    assert cells[:3] == ["own", "lora", "published example: batch 1 x 8, recomputation"]
    tokens, step, share, times, estimated, measured = (float(cell.strip("%").replace(",", "")) for cell in cells[3:9])
    assert min(tokens, step, share, estimated, measured) > 0
    assert times == 1
    assert share < 100
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("gpu-check-")]


@pytest.mark.skipif(not gpu.visible(), reason="make gpu-check: no GPU is visible here, so nothing was run")
@pytest.mark.timeout(1800)
def test_on_a_gpu(tmp_path: Path) -> None:
    """The 1B model with every setting, resume, merge and the equality of learning."""
    done = check("--models", "1b", "--storage", str(tmp_path), scratch=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "equality of learning: held" in done.stdout
