"""What `make gpu-check` prints and computes; the trainings themselves are in tests/integration/test_gpu_check.py."""

from __future__ import annotations

from typing import Any

import pytest

from bench.gpu_check import machine, table
from bench.gpu_check.__main__ import NOTHING, main
from bench.gpu_check.checks import Check
from bench.gpu_check.machine import Machine
from bench.gpu_check.settings import SETTINGS, of
from bench.gpu_check.training import Line, speed
from tools.formats.gpus import GpuType
from tools.llamafactory.table import arguments
from tools.plan.memory import GIB

HERE = Machine("NVIDIA H100 80GB HBM3", 798e12, 79.1 * GIB, None)


def test_without_a_gpu_nothing_is_run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so and ends with 0."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert main([]) == 0
    assert capsys.readouterr().out == f"{NOTHING}\n"


@pytest.mark.parametrize(
    ("name", "memory", "wanted"),
    [
        ("NVIDIA H100 80GB HBM3", 79.6, "h100-80gb"),
        ("NVIDIA A100-SXM4-40GB", 39.4, "a100-40gb"),
        ("NVIDIA A100-SXM4-80GB", 79.2, "a100-80gb"),
        ("NVIDIA L4", 22.5, None),
        ("Tesla T4", 15.0, None),
    ],
)
def test_a_gpu_is_found_in_the_catalogue_by_chip_and_memory(name: str, memory: float, wanted: str | None) -> None:
    """The chip's name must be a word of the device's; among its sizes the nearest counts; an unlisted one is not guessed."""
    sizes = {"a100-40gb": 39.4, "a100-80gb": 79.2, "h100-80gb": 79.1, "l40s-48gb": 44.5}
    listed = {
        key: GpuType(memory_gib=gib, bandwidth_gb_s=1, bf16_tflops=1, price_per_hour=0) for key, gib in sizes.items()
    }
    assert machine.sheet(name, memory * GIB, listed) == (listed[wanted] if wanted else None)


def test_an_unlisted_gpu_is_planned_with_what_was_measured() -> None:
    """Memory as the driver says, speed as the matrix product reached."""
    kind = HERE.as_type
    assert (kind.memory_gib, kind.bf16_tflops) == pytest.approx((79.1, 798))


def progress(step: int, time: float, tokens: int) -> dict[str, Any]:
    """A progress event of the runner."""
    return {"event": "progress", "step": step, "time": time, "tokens": tokens}


def test_speed_is_taken_behind_the_first_line() -> None:
    """What a process does once, before its first line, is not counted; a single line gives no speed."""
    lines = [progress(5, 100.0, 4000), progress(10, 102.0, 8000), progress(20, 106.0, 16000)]
    assert speed(lines) == (2000.0, 0.4)
    assert speed(lines[:1]) is None
    assert speed([lines[0], lines[0]]) is None


def test_the_table_names_the_machine_and_compares() -> None:
    """Times the first line of the same model and method, estimate against measured, and a failure in place of figures."""
    lines = [
        Line("7b", "published", "lora", 15.0e9, 400.0, 2.0, 0.015, 14.6e9, 60.0),
        Line("7b", "auto", "lora", 55.0e9, 10_000.0, 0.1, 0.38, 50.0e9, 61.0, "neat_packing: True"),
        Line("7b", "batch 64", "lora", 99.0e9, remark="out-of-gpu-memory"),
        Line("7b", "Liger", "lora", 0.0, remark="not run: liger-kernel"),
    ]
    text = table.markdown(HERE, "torch 2", lines, [Check("resume", held=True, figures="75 and 0")]).splitlines()
    assert text[0] == "**NVIDIA H100 80GB HBM3**, 84.9 GB; a large bf16 matrix product reaches 798 TFLOP/s."
    auto = next(row for row in text if "| auto |" in row)
    assert auto == "| 7b | lora | auto | 10,000 | 0.1 | 38.0% | 25.0 | 55.0 | 50.0 | +10% | 61 s | neat_packing: True |"
    assert "| 7b | lora | batch 64 | - | - | - | - | 99.0 | - | - | - | out-of-gpu-memory |" in text
    assert "| 7b | lora | Liger | - | - | - | - | - | - | - | - | not run: liger-kernel |" in text
    assert text[-1] == "- resume: held (75 and 0)"
    assert len({row.count("|") for row in text if row.startswith("|")}) == 1


def test_settings_are_llama_factorys_and_each_method_is_there() -> None:
    """Every key is an argument of the pinned LLaMA Factory; the 7B model is not trained in full, which no single GPU holds."""
    assert all(key in arguments() for setting in SETTINGS for key in setting.all_of)
    assert {setting.method for setting in of("1b")} == {"lora", "qlora", "full"}
    assert {setting.method for setting in of("7b")} == {"lora", "qlora"}
    assert {setting.performance for setting in of("7b")} == {"as-written", "auto"}
    assert "lora_rank" not in next(setting for setting in SETTINGS if setting.method == "full").all_of
