"""The merge beside `cp -r` of its base, peft and LLaMA Factory's export: a synthetic Llama, rank 16 on all its linear layers.

The goals are for 2 GB and more; below that the start of Python alone takes as long as several copies.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import throttle
from bench.measure import BenchError, Measure, repeated, run
from bench.options import PROGRAMS, ROOT, RUNNER_PYTHON, Options
from bench.table import Row

MOST_COPIES, MOST_THROTTLED, LEAST_EXPORT, MOST_MEMORY = 4.0, 1.2, 10.0, 250
_SYNCED = 'cp -r "$0" "$1" && find "$1" -type f -exec sync {} +'


@dataclass(frozen=True, slots=True)
class Size:
    """Sizes of the synthetic model: hidden, inner, layers, width of keys and values, vocabulary, files."""

    name: str
    numbers: tuple[int, int, int, int, int, int]


SMALL = Size("0.3 GB", (1024, 2816, 8, 256, 32000, 1))
TWO = Size("2.2 GB", (2048, 8192, 16, 512, 32000, 1))
SEVEN = Size("7 GB", (3072, 8192, 30, 1024, 32000, 2))


def rows(options: Options) -> Iterator[Row]:
    """The model of 2 GB; with --quick one of 0.3 GB."""
    yield from _rows(options, SMALL if options.quick else TWO)


def large_rows(options: Options) -> Iterator[Row]:
    """The model of 7 GB: 14 GB of disk, and as much memory for the alternatives."""
    yield from _rows(options, SMALL if options.quick else SEVEN)


def _rows(options: Options, size: Size) -> Iterator[Row]:
    numbers = [str(number) for number in size.numbers]
    run(
        [RUNNER_PYTHON, PROGRAMS / "merge_models.py", options.work, *numbers],
        cwd=ROOT,
        environment={"PYTHONPATH": str(ROOT)},
    )
    base, out = options.work / "base", options.work / "out"
    name = f"merge, {size.name}"
    copy = _repeated(options, out, ["cp", "-r", base, out])
    yield Row(name, "cp -r of the base", copy, remark="warm")
    synced = _repeated(options, out, ["sh", "-c", _SYNCED, base, out])
    yield Row(name, "cp -r and fsync", synced, remark="warm, and on the disk, as a merge is at its end")
    bare = _repeated(options, out, _ours(options))
    remark = f"{_verdict(bare, copy)}; {bare.wall / synced.wall:.1f} times cp and fsync"
    yield Row(name, "python -m runner merge", bare, remark=remark)
    hashed = _repeated(options, out, [*_ours(options), "--report", options.work / "report.json"])
    yield Row(name, "the same with all hashes", hashed, remark=f"{hashed.wall / copy.wall:.1f} times cp")
    yield from _throttled(options, name)
    for what, command in (("peft, transformers", _peft(options)), ("llamafactory-cli export", _export(options))):
        other = _once(out, command, options.work)
        remark = f"{other.wall / copy.wall:.0f} times cp, {other.wall / bare.wall:.1f} times ours"
        if "export" in what:
            remark += f" (> {LEAST_EXPORT:g} {_met(other.wall / bare.wall >= LEAST_EXPORT)})"
        yield Row(name, what, other, ours=bare.cpu, remark=remark)


def _verdict(bare: Measure, copy: Measure) -> str:
    ratio = bare.wall / copy.wall
    speed = f"{ratio:.1f} times cp (< {MOST_COPIES:g} {_met(ratio <= MOST_COPIES)})"
    return f"{speed}, < {MOST_MEMORY} MiB {_met(bare.memory <= MOST_MEMORY)}"


def _met(good: bool) -> str:
    return "met" if good else "MISSED"


def _throttled(options: Options, name: str) -> Iterator[Row]:
    """Both from cold, both down to the disk."""
    base, out = options.work / "base", options.work / "out"
    with throttle.group(options.work) as place:
        if place is None:
            yield Row(name, "at 500 MB/s", None, remark="needs root, a disk, and cgroup v1's blkio")
            return
        copy = _cold(base, out, throttle.inside(place, ["sh", "-c", _SYNCED, base, out]))
        ours = _cold(base, out, throttle.inside(place, _ours(options)))
    ratio = ours.wall / copy.wall
    yield Row(name, "cp -r and fsync, at 500 MB/s", copy, remark="cold")
    verdict = f"{ratio:.2f} times cp (< {MOST_THROTTLED:g} {_met(ratio <= MOST_THROTTLED)})"
    yield Row(name, "python -m runner merge, at 500 MB/s", ours, remark=verdict)


def _repeated(options: Options, out: Path, command: Sequence[str | Path]) -> Measure:
    return repeated(options.repeats, lambda: _once(out, command, ROOT))


def _cold(base: Path, out: Path, command: Sequence[str | Path]) -> Measure:
    throttle.forget(base)
    return _once(out, command, ROOT)


def _once(out: Path, command: Sequence[str | Path], cwd: Path) -> Measure:
    """Run it and take the result away again; the kernel's writing back of the last one must not weigh in."""
    os.sync()
    try:
        measure = run(command, cwd=cwd, environment={"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)})
        if not list(out.glob("*.safetensors")):
            raise BenchError(f"{command[0]}: no weights in {out}")
    finally:
        shutil.rmtree(out, ignore_errors=True)
    return measure


def _ours(options: Options) -> list[str | Path]:
    work = options.work
    return [
        RUNNER_PYTHON,
        "-m",
        "runner",
        "merge",
        "--base",
        work / "base",
        "--adapter",
        work / "adapter",
        "--out",
        work / "out",
    ]


def _peft(options: Options) -> list[str | Path]:
    return [RUNNER_PYTHON, PROGRAMS / "merge_peft.py", *(options.work / name for name in ("base", "adapter", "out"))]


def _export(options: Options) -> list[str | Path]:
    """The arguments of LLaMA Factory's own example (examples/merge_lora in its repository)."""
    settings = {
        "model_name_or_path": str(options.work / "base"),
        "adapter_name_or_path": str(options.work / "adapter"),
        "template": "chatml",
        "export_dir": str(options.work / "out"),
        "export_size": 5,
        "export_device": "cpu",
        "infer_dtype": "bfloat16",
    }
    (options.work / "export.yaml").write_text(json.dumps(settings))
    return [RUNNER_PYTHON.parent / "llamafactory-cli", "export", options.work / "export.yaml"]
