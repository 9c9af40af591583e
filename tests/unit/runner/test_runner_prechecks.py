"""What is checked before LLaMA Factory is imported."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from runner import gpu, prechecks, sizes
from runner.exits import Mismatch, Retry
from tests.runs import HIDDEN, INNER, LAYERS, make_paths


def test_untouched_inputs_pass(tmp_path: Path) -> None:
    """Files that are what the lock says give no fault."""
    prechecks.check(make_paths(tmp_path))


def test_every_wrong_file_is_named_at_once(tmp_path: Path) -> None:
    """A changed dataset, a missing, a changed and a surplus model file are four lines of one message."""
    paths = make_paths(tmp_path)
    data = paths.dataset(paths.lock.run.datasets[0])
    data.write_bytes(data.read_bytes() + b" ")
    (paths.base_model / "tokenizer.json").unlink()
    weights = bytearray((paths.base_model / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (paths.base_model / "model.safetensors").write_bytes(weights)
    (paths.base_model / "adapter_config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(Mismatch) as caught:
        prechecks.check(paths)
    lines = caught.value.cause.splitlines()
    assert [line.split(": ")[0].rsplit("/", 1)[1] for line in lines] == [
        "topics.json", "model.safetensors", "tokenizer.json", "adapter_config.json",
    ]  # fmt: skip
    assert "missing" in lines[2]
    assert "not part of the model" in lines[3]


def test_a_missing_base_model_names_each_file(tmp_path: Path) -> None:
    """An unmounted models claim is told by the files that are not there."""
    paths = make_paths(tmp_path)
    shutil.rmtree(paths.base_model)
    assert len(prechecks.input_faults(paths)) == len(paths.lock.run.model.files)


def test_too_little_disk_space_is_worth_a_retry(tmp_path: Path) -> None:
    """A billion kept checkpoints fit on no disk; the message compares free with needed."""
    paths = make_paths(tmp_path, settings={"save_total_limit": 10**9})
    with pytest.raises(Retry, match="GiB free; allowed: at least"):
        prechecks.check(paths)


def test_disk_space_is_that_of_the_output_mount(tmp_path: Path, small_disk: Path) -> None:
    """In a container /storage itself is the image's disk; only output is the tenant's."""
    paths = make_paths(tmp_path)
    (paths.storage / "output").symlink_to(small_disk)
    with pytest.raises(Retry, match=r"output: 0\.00 GiB free"):
        prechecks.check(paths)


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="this machine has a GPU")
def test_a_missing_gpu_is_worth_a_retry(tmp_path: Path) -> None:
    """A node that lost its GPU fails the pod, not the run."""
    with pytest.raises(Retry, match="0 GPUs are visible; allowed: 1"):
        prechecks.check(make_paths(tmp_path, resources={"gpus": 1}, settings={"use_cpu": False}))


def test_a_lock_that_trains_on_the_cpu_needs_no_gpu(tmp_path: Path) -> None:
    """LLaMA Factory's `use_cpu` with `gpus: 2` is two ranks on the CPU."""
    prechecks.check(make_paths(tmp_path, resources={"gpus": 2}))


def test_gpu_memory_is_read_from_the_drivers_table() -> None:
    """Totals and free memory come in MiB; a GPU that tells nothing is left out."""
    assert gpu.parse("81559, 80994\n[N/A], [N/A]\n") == [gpu.Gpu(81559 * 2**20, 80994 * 2**20)]


@pytest.mark.parametrize(("devices", "count"), [(None, 2), ("1", 1), ("0,1", 2), ("5", 0), ("GPU-1f2e", 1)])
def test_hidden_gpus_do_not_count(devices: str | None, count: int) -> None:
    """CUDA_VISIBLE_DEVICES selects by number or by name."""
    assert len(gpu.selected([gpu.Gpu(1, 1), gpu.Gpu(2, 2)], devices)) == count


def test_lora_disk_need_follows_rank_and_shapes(tmp_path: Path) -> None:
    """Each linear layer adds rank * (in + out) weights of 12 bytes to each of limit + 1 checkpoints."""
    few, many = (sizes.disk_bytes(make_paths(tmp_path, settings={"lora_rank": rank})) for rank in (4, 8))
    per_rank = LAYERS * (4 * 2 * HIDDEN + 3 * (HIDDEN + INNER))
    assert many - few == 4 * per_rank * (12 * 3 + 4 * 2)


def test_quantised_weights_need_a_quarter(tmp_path: Path) -> None:
    """4 bits instead of 16."""
    whole = sizes.weight_bytes(make_paths(tmp_path).lock)
    assert sizes.weight_bytes(make_paths(tmp_path, settings={"quantization_bit": 4}).lock) == whole // 4


def test_a_truncated_safetensors_file_is_recognised(tmp_path: Path) -> None:
    """The header says how long the file is."""
    file = make_paths(tmp_path).base_model / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError, match="as its header says"):
        list(sizes.tensors(file))
