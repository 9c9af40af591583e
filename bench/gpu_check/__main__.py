"""Train with the platform's settings on this machine's GPU and print a table: `make gpu-check`.

Without a GPU nothing is run and the exit code is 0. `--device cpu` goes the same way on the CPU, for tests and a first look.
Exit codes: 0, or 1 where a check failed; a setting that runs out of memory is a line of the table.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from bench.gpu_check import checks, machine, table
from bench.gpu_check.checks import Check
from bench.gpu_check.repository import DATASET, Place, write_rows
from bench.gpu_check.settings import SHAPES, Setting, of
from bench.gpu_check.training import Line, line
from bench.measure import BenchError
from bench.options import ROOT
from demo.base_model import NAME as DEMO
from tools.formats.gpus import GpuType
from tools.repository import Repository
from tools.rules.train_package import judge

NOTHING = "gpu-check: skipped, nothing was run: no GPU is visible here (nvidia-smi lists none)"
_Found = TypeVar("_Found", Line, Check)
_PACKAGES = ("llamafactory", "torch", "transformers", "peft")


def main(argv: Sequence[str] | None = None) -> int:
    """The command; the exit code."""
    args = _parser().parse_args(argv)
    found = machine.read(_listed(), on_gpu=args.device == "gpu")
    if found is None:
        print(NOTHING)
        return 0
    with tempfile.TemporaryDirectory(prefix="gpu-check-", dir=args.scratch) as folder:
        check = _Run(args, Place.make(Path(folder), found), Path(folder))
        lines, held = check.everything()
    versions = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    text = table.markdown(found, versions, lines, held)
    print(text, end="")
    if args.output:
        args.output.write_text(text, encoding="utf-8")
    return 0 if all(each.held for each in held) else 1


class _Run:
    """One call. place: where it trains; folder: scratch."""

    def __init__(self, args: argparse.Namespace, place: Place, folder: Path) -> None:
        self._args = args
        self._place = place
        self._folder = folder

    def everything(self) -> tuple[list[Line], list[Check]]:
        """All lines and checks."""
        lines: list[Line] = []
        held: list[Check] = []
        write_rows(self._folder / f"{DATASET}.json")
        for name in ["own"] if self._args.base else self._args.models:
            lines += map(_told, self._model(name))
            if not self._args.lines_only:
                plan = self._place.plan(
                    "resumed", name, next(of(name)), max_steps=self._args.steps, logging_steps=1, seed=7
                )
                held += map(_told, checks.for_model(self._place, plan.lock, self._args.steps))
        if not self._args.lines_only and not self._args.base:
            held.append(_told(self._learning()))
        return lines, held

    def _model(self, name: str) -> Iterator[Line]:
        folder = self._args.base or self._synthetic(name)
        self._place.add_model(name, folder, self._args.template)
        self._place.add_rows(DATASET, self._folder / f"{DATASET}.json", name)
        for number, setting in enumerate(of(name)):
            if not self._wanted(setting):
                continue
            missing = [reason for key, value in setting.train.items() if (reason := judge(key, value)) is not None]
            if missing:
                yield Line(name, setting.name, setting.method, 0.0, remark=f"not run: {missing[0]}")
                continue
            steps = {"max_steps": self._args.steps, "logging_steps": max(1, self._args.steps // 4), "save_steps": 10000}
            plan = self._place.plan(f"{name}-{number}", name, setting, **steps)
            yield line(self._place, plan, name, setting.name)

    def _wanted(self, setting: Setting) -> bool:
        named = f"{setting.method} {setting.name}".startswith(self._args.only or "")
        return named and not self._args.checks_only

    def _synthetic(self, name: str) -> Path:
        target = self._place.storage / "models" / "base-model" / name
        _program("-m", "bench.gpu_check.base", name, str(self._demo()), str(target))
        return target

    def _demo(self) -> Path:
        """The demo's base model, made where it is not there yet."""
        _program("-m", "demo.base_model", "--storage", str(self._args.storage))
        return Path(self._args.storage) / "models" / "base-model" / DEMO

    def _learning(self) -> Check:
        self._place.add_model(DEMO, self._demo(), "smollm2")
        self._place.add_rows(checks.LEARNT, checks.demo_rows(), DEMO)
        return checks.learning(self._place, DEMO)


def _told(found: _Found) -> _Found:
    """What is known is said at once: machines are lent for a time, and a run may be cut off."""
    print(f"measured: {found}", file=sys.stderr, flush=True)
    return found


def _program(*arguments: str) -> None:
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"{' '.join(arguments)} ended with {done.returncode}: {done.stderr[-1000:]}")


def _listed() -> dict[str, GpuType]:
    gpus = Repository(ROOT).gpus
    return gpus.gpus if gpus is not None else {}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu_check", description=__doc__)
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu", help="what trains (gpu)")
    parser.add_argument("--models", nargs="+", choices=sorted(SHAPES), default=["1b", "7b"], help="shapes (both)")
    parser.add_argument("--base", type=Path, metavar="FOLDER", help="a model of your own in place of the shapes")
    parser.add_argument("--template", default="smollm2", help="chat template of --base")
    parser.add_argument(
        "--only", metavar="TEXT", help="settings whose method and name begin like this, as in 'lora batch'"
    )
    parser.add_argument("--checks-only", action="store_true", help="resume, merge and learning without the table")
    parser.add_argument("--lines-only", action="store_true", help="neither resume nor merge nor learning")
    parser.add_argument("--steps", type=int, default=20, help="of each training (20)")
    parser.add_argument("--storage", type=Path, default=ROOT / ".local" / "demo", help="of the demo's base model")
    parser.add_argument("--scratch", type=Path, help="an existing folder for 40 GB of models and results (TMPDIR)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the table there as well")
    return parser


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchError as error:
        print(f"gpu-check: {error}", file=sys.stderr)
        sys.exit(1)
