"""Each stage with each method, trained for real; what LLaMA Factory cannot do is listed here with its message."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.stages import METHODS, STAGES, STEPS

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(find_spec("llamafactory") is None, reason="needs the runner's environment"),
]
ROOT = Path(__file__).parents[2]
# On a CPU as on a GPU: LLaMA Factory saves a full reward model as one state dict, in which a tied head stands twice.
REFUSED = {("rm", "full"): "Some tensors share memory"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], dict[str, Any]]:
    """All of them, in one process."""
    root = tmp_path_factory.mktemp("stages")
    done = subprocess.run(
        [sys.executable, "-m", "tests.stages", str(root)],
        cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"stage"')]
    return {(each["stage"], each["method"]): each for each in found}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("stage", STAGES)
def test_stage_with_method(trained: dict[tuple[str, str], dict[str, Any]], stage: str, method: str) -> None:
    """All steps, a finite loss, the weights that the method makes (a reward model's head too) and a valid completion.json."""
    found = trained[stage, method]
    if (stage, method) in REFUSED:
        assert REFUSED[stage, method] in found["failure"]
        return
    assert found.get("failure") is None
    assert found["steps"] == STEPS
    assert 0 < found["loss"] < 20
    weights = "model.safetensors" if method == "full" else "adapter_model.safetensors"
    assert weights in found["files"]
    assert ("value_head.safetensors" in found["files"]) is (stage == "rm")
