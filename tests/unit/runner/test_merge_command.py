"""`python -m runner merge`: a whole new folder or none, always with the reason."""

from __future__ import annotations

import errno
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runner import hashing
from runner.__main__ import main
from runner.merge import base as bases
from runner.merge import stream
from tests.adapters import PREFIX, shapes, write_adapter
from tests.runs import HIDDEN, write_model, write_tensors
from tests.unit.runner.test_merge_plan import shard

pytestmark = pytest.mark.heavy
MIB = 2**20
HEAVY = ("torch", "transformers", "llamafactory", "peft", "safetensors", "mlflow")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A base in two shards, an adapter, and an empty folder for the result."""
    write_model(tmp_path / "base")
    shard(tmp_path / "base")
    write_adapter(tmp_path / "adapter")
    (tmp_path / "result").mkdir()
    return tmp_path


def words(place: Path, *more: str | Path) -> list[str]:
    """The command's arguments."""
    out = place / "result" / "out"
    return ["merge", "--base", f"{place}/base", "--adapter", f"{place}/adapter", "--out", str(out), *map(str, more)]


def entries(place: Path) -> list[str]:
    """What stands where the result should be."""
    return sorted(path.name for path in (place / "result").iterdir())


def failed(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The event of the failure."""
    return next(event for event in map(json.loads, capsys.readouterr().out.splitlines()) if event["event"] == "failure")


def test_the_result_has_the_bases_files_and_only_touched_tensors_differ(place: Path) -> None:
    """Names, index and headers are the base's; the report's hashes are those of the files."""
    assert main(words(place, "--report", place / "report.json")) == 0
    out, base = place / "result" / "out", place / "base"
    assert entries(place) == ["out"]
    report = json.loads((place / "report.json").read_text())
    assert report["result"] == {
        name: file.model_dump() for name, file in hashing.record(out, hashing.names_in(out)).items()
    }
    assert report["base"] == {name: hashing.sha256_of(base / name) for name in report["base"]}
    assert set(report["base"]) == {path.name for path in base.iterdir()} - {"tokenizer.json", "tokenizer_config.json"}
    assert (out / bases.INDEX).read_bytes() == (base / bases.INDEX).read_bytes()
    assert report["untouched"] == len(bases.load(base).tensors) - 4
    for name, header in bases.load(base).shards.items():
        old, new = (base / name).read_bytes(), (out / name).read_bytes()
        assert new.startswith(header.raw)
        for tensor, at in header.tensors.items():
            same = old[at.offset : at.offset + at.size] == new[at.offset : at.offset + at.size]
            assert same is (tensor not in report["changes"])
            if not same:
                difference = np.frombuffer(new, "<f4", at.size // 4, at.offset) - np.frombuffer(
                    old, "<f4", at.size // 4, at.offset
                )
                assert report["changes"][tensor]["norm"] == pytest.approx(float(np.linalg.norm(difference)), rel=1e-4)


def test_the_same_inputs_give_the_same_bytes(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the number of threads."""
    found = []
    for threads in (1, 2, 5):
        monkeypatch.setattr(stream, "_THREADS", threads)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, threads=threads: set(range(threads)))
        assert main(words(place)) == 0
        out = place / "result" / "out"
        found.append(hashing.record(out, hashing.names_in(out)))
        out.rename(place / f"out-{threads}")
    assert found[0] == found[1] == found[2]


def test_the_merge_imports_numpy_and_nothing_heavy(place: Path) -> None:
    """It must start at once and stay small."""
    code = (
        "import sys; from runner.__main__ import main; code = main(sys.argv[1:]);"
        f"print([name for name in {HEAVY} if name in sys.modules], 'numpy' in sys.modules, code)"
    )
    ended = subprocess.run([sys.executable, "-c", code, *words(place)], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "[] True 0"
    code = f"import sys, runner.__main__, runner.merge; print([name for name in {(*HEAVY, 'numpy')} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


def test_an_existing_result_is_left_alone(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and nothing beside it."""
    (place / "result" / "out").mkdir()
    assert main(words(place)) == 2
    assert "exists; allowed: a new folder" in failed(capsys)["cause"]
    assert entries(place) == ["out"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_diverged_adapter_is_refused(place: Path, capsys: pytest.CaptureFixture[str], value: float) -> None:
    """Not-a-number or infinity anywhere in A or B."""
    file = place / "adapter" / "adapter_model.safetensors"
    data = bytearray(file.read_bytes())
    data[-4:] = np.float32(value).tobytes()
    file.write_bytes(data)
    assert main(words(place)) == 3
    assert "holds NaN or infinity" in failed(capsys)["cause"]
    assert entries(place) == []


def test_a_merge_that_leaves_the_range_is_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Finite A and B whose product is not."""
    file = place / "adapter" / "adapter_model.safetensors"
    start = 8 + int.from_bytes(file.read_bytes()[:8], "little")
    numbers = np.full((file.stat().st_size - start) // 4, 1e20, np.float32)
    file.write_bytes(file.read_bytes()[:start] + numbers.tobytes())
    assert main(words(place)) == 3
    assert "leave the range of the base's type" in failed(capsys)["cause"]
    assert entries(place) == []


def test_a_merge_that_changes_nothing_is_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """B of zeros is what peft starts with: nothing was learned."""
    file = place / "adapter" / "adapter_model.safetensors"
    start = 8 + int.from_bytes(file.read_bytes()[:8], "little")
    file.write_bytes(file.read_bytes()[:start] + bytes(file.stat().st_size - start))
    assert main(words(place)) == 3
    assert "changes no weight" in failed(capsys)["cause"]
    assert entries(place) == []


@pytest.mark.parametrize("fault", ["missing", "truncated", "linked", "garbage"])
def test_a_damaged_base_leaves_nothing(place: Path, capsys: pytest.CaptureFixture[str], fault: str) -> None:
    """The second of two shards: the first must not stay behind."""
    file = max((place / "base").glob("*.safetensors"))
    if fault == "missing":
        file.unlink()
    elif fault == "linked":
        file.symlink_to(file.rename(place / "elsewhere.safetensors"))
    else:
        file.write_bytes(file.read_bytes()[:-1] if fault == "truncated" else random.Random(0).randbytes(1000))
    assert main(words(place)) == 3
    assert file.name in failed(capsys)["cause"]
    assert entries(place) == []


def test_a_layer_saved_beside_its_pair_must_be_the_bases(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Embeddings with a pair are saved by peft as well; others than the base's mean another base."""
    copy = f"{PREFIX}model.layers.0.self_attn.q_proj.base_layer.weight"
    write_adapter(place / "adapter", {**shapes(), copy: (HIDDEN, HIDDEN)})
    assert main(words(place)) == 3
    assert "is not the base's" in failed(capsys)["cause"]


def test_the_tokenizer_is_the_training_runs(place: Path) -> None:
    """With its chat template, and padding on the left as for generation; the base's where the run saved none."""
    base = json.loads((place / "base" / "tokenizer_config.json").read_text())
    assert main(words(place)) == 0
    out = place / "result" / "out"
    assert (out / "tokenizer.json").read_bytes() == (place / "base" / "tokenizer.json").read_bytes()
    assert json.loads((out / "tokenizer_config.json").read_text()) == base
    out.rename(place / "first")
    own = {**base, "added": "in training", "padding_side": "right"}
    (place / "adapter" / "tokenizer_config.json").write_text(json.dumps(own))
    (place / "adapter" / "chat_template.jinja").write_text("{{ messages }}")
    (place / "adapter" / "tokenizer.json").write_text("{}")
    assert main(words(place)) == 0
    assert json.loads((out / "tokenizer_config.json").read_text()) == {**own, "padding_side": "left"}
    assert (out / "chat_template.jinja").read_text() == "{{ messages }}"
    assert (out / "tokenizer.json").read_text() == "{}"


def test_too_little_space_is_said_before_anything_is_written(
    place: Path, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And is worth a retry."""
    place.joinpath("result").rmdir()
    place.joinpath("result").symlink_to(small_disk)
    assert main(words(place)) == 75
    assert "no space left" in failed(capsys)["cause"]
    assert entries(place) == []


def test_a_disk_that_fills_at_nine_tenths_leaves_nothing(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Somebody else took the space meanwhile: the system's own limit on file sizes stops the second shard near its end."""
    sizes = sorted(file.stat().st_size for file in (place / "base").glob("*.safetensors"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sizes[-1] * 0.9), before[1]))
    try:
        assert main(words(place)) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert os.strerror(errno.EFBIG) in failed(capsys)["cause"]
    assert entries(place) == []


def test_kill_9_at_twenty_moments_never_leaves_a_partial_folder(place: Path) -> None:
    """The result is whole or absent; the next merge clears what the killed one left in its hidden folder."""
    file = place / "base" / "model-00003-of-00003.safetensors"
    write_tensors(file, {"model.more.weight": (2, 2)})
    index = json.loads((place / "base" / bases.INDEX).read_text())
    index["weight_map"]["model.more.weight"] = file.name
    (place / "base" / bases.INDEX).write_text(json.dumps(index))
    _enlarge(file, 48 * MIB)
    assert main(words(place)) == 0
    whole = _hashes(place)
    met = 0
    for moment in range(20):
        process = subprocess.Popen([sys.executable, "-m", "runner", *words(place)], stdout=subprocess.DEVNULL)
        while not entries(place) and process.poll() is None:
            time.sleep(0.001)
        time.sleep(random.Random(moment).random() * 0.2)
        process.send_signal(signal.SIGKILL)
        process.wait()
        met += process.returncode < 0
        assert entries(place) in (["out"], [".out.merging"], [])
        if entries(place) == ["out"]:
            assert _hashes(place) == whole
    assert met
    if "out" in entries(place):
        _hashes(place)
    assert main(words(place)) == 0
    assert _hashes(place) == whole
    assert entries(place) == []


def test_sigterm_ends_the_merge_and_leaves_nothing(place: Path) -> None:
    """Exit code 75: the same command may be run again."""
    _enlarge(place / "base" / "model-00003-of-00003.safetensors", 512 * MIB)
    index = json.loads((place / "base" / bases.INDEX).read_text())
    index["weight_map"]["model.more.weight"] = "model-00003-of-00003.safetensors"
    (place / "base" / bases.INDEX).write_text(json.dumps(index))
    process = subprocess.Popen(
        [sys.executable, "-m", "runner", *words(place, "--report", place / "r.json")], stdout=subprocess.PIPE
    )
    while not list((place / "result").glob(".out.merging/*")):
        time.sleep(0.001)
    process.terminate()
    output, _ = process.communicate()
    assert process.returncode == 75
    assert b"stopped by SIGTERM" in output
    assert entries(place) == []


def _hashes(place: Path) -> dict[str, Any]:
    """Hashes of the result, which is then moved away."""
    out = place / "result" / "out"
    found = hashing.record(out, hashing.names_in(out))
    out.rename(place / f"done-{time.monotonic_ns()}")
    return found


def _enlarge(file: Path, size: int) -> None:
    """Give the only tensor of a file another size, of zeros that take no space."""
    header = {"model.more.weight": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}
    text = json.dumps(header).encode()
    with file.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        stream.truncate(8 + len(text) + size)
