"""Tensors of many blocks and pieces: what the tiny models of the other tests do not have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runner.merge import folders, headers, work
from tests.adapters import PREFIX, write_adapter
from tests.runs import write_tensors

pytestmark = pytest.mark.heavy
ROWS, COLUMNS = 150, 2500
NAME = "model.up_proj.weight"


def load(file: Path) -> dict[str, Any]:
    """All tensors of a file of 32-bit numbers."""
    data = file.read_bytes()
    return {
        name: np.frombuffer(data, "<f4", tensor.size // 4, tensor.offset).reshape(tensor.shape)
        for name, tensor in headers.read(file).tensors.items()
    }


@pytest.mark.parametrize("hashing", [True, False])
@pytest.mark.parametrize("kind", ["lora", "transposed", "dora", "replaced", "rows"])
def test_every_block_of_every_piece_is_merged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, *, hashing: bool
) -> None:
    """Compared with the formula in 64 bits; four pieces of two blocks by three, the last ones cut."""
    monkeypatch.setattr(work, "_PIECE", 40 * COLUMNS)
    monkeypatch.setattr(work, "TILE_ROWS", 30)
    base, out = tmp_path / "base", tmp_path / "out"
    base.mkdir()
    out.mkdir()
    # The random numbers are the same for every file: one more tensor before it gives the base others than the adapter.
    shapes: dict[str, tuple[int, ...]] = {
        "model.begin.weight": (3, 5),
        NAME: (ROWS, COLUMNS),
        "model.norm.weight": (7,),
    }
    write_tensors(base / "model.safetensors", shapes)
    (base / "config.json").write_text(json.dumps({"tie_word_embeddings": False}))
    module = f"{PREFIX}model.up_proj"
    width, height = (ROWS, COLUMNS) if kind == "transposed" else (COLUMNS, ROWS)
    tensors: dict[str, tuple[int, ...]] = {
        f"{module}.lora_A.weight": (4, width),
        f"{module}.lora_B.weight": (height, 4),
    }
    if kind == "dora":
        tensors[f"{module}.lora_magnitude_vector"] = (ROWS,)
    elif kind == "replaced":
        tensors = {f"{module}.weight": (ROWS, COLUMNS)}
    elif kind == "rows":
        tensors = {f"{module}.token_adapter.trainable_tokens_delta": (3, COLUMNS)}
    settings = {
        "fan_in_fan_out": kind == "transposed",
        "use_dora": kind == "dora",
        "trainable_token_indices": {"up_proj": [149, 0, 77]},
    }
    adapter = write_adapter(tmp_path / "adapter", tensors, target_modules=["up_proj"], lora_alpha=3, **settings)
    report = folders(base, adapter, out, settings={}, hashing=hashing)
    old, new = load(base / "model.safetensors"), load(out / "model.safetensors")
    given = {
        name.removeprefix(f"{module}."): value for name, value in load(adapter / "adapter_model.safetensors").items()
    }
    wanted = expected(kind, old[NAME].astype(np.float64), given)
    np.testing.assert_allclose(new[NAME], wanted, rtol=2e-6, atol=1e-7)
    assert all(np.array_equal(old[name], new[name]) for name in ("model.begin.weight", "model.norm.weight"))
    change = report.changes[NAME]
    assert change.changed == int((old[NAME] != new[NAME]).sum())
    assert change.norm == pytest.approx(float(np.linalg.norm(wanted - old[NAME])), rel=1e-4)


def expected(kind: str, old: Any, given: dict[str, Any]) -> Any:
    """The formula of each kind."""
    if kind == "replaced":
        return given["weight"]
    if kind == "rows":
        result = old.copy()
        result[[149, 0, 77]] = given["token_adapter.trainable_tokens_delta"]
        return result
    product = given["lora_B.weight"].astype(np.float64) @ given["lora_A.weight"] * 0.75
    result = old + (product.T if kind == "transposed" else product)
    if kind == "dora":
        result *= (given["lora_magnitude_vector"] / np.linalg.norm(result, axis=1))[:, None]
    return result
