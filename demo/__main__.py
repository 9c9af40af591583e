"""`make demo`: one experiment file becomes a merged, registered model, and the gain is measured on held-out messages.

Nothing here trains: it prepares the storage, calls `ft` as a person would, and asks the model before and after. The last
line is `DEMO ` and a JSON object.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from tools.cli import main as ft
from tools.formats.lock import Lock
from tools.repository import Repository

ROOT = Path(__file__).resolve().parent.parent
RUNNER_PYTHON = ROOT / ".venv-runner" / "bin" / "python"
EXPERIMENT = "experiments/team-a/exp-001.yaml"
OVERLAY = "overlays/dev/team-a/exp-001"
DATA = ROOT / "demo" / "data"

console = Console(soft_wrap=True, highlight=False)


class StepError(Exception):
    """A step of the demo failed; what it printed stands above."""


def heavy(module: str, *arguments: str) -> Any:
    """Run a module of the demo in the runner's environment and return the JSON that it printed."""
    command = [str(RUNNER_PYTHON), "-m", module, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StepError(f"{' '.join(command)} failed with exit code {done.returncode}:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout or "null")


def step(number: int, title: str) -> None:
    """Announce a step."""
    console.print(f"\n[bold]{number}. {title}[/bold]")


def call(*arguments: str) -> None:
    """Call `ft` and stop the demo when it fails."""
    console.print(f"[dim]$ ft {' '.join(arguments)}[/dim]")
    code = ft(arguments)
    if code:
        raise StepError(f"`ft {' '.join(arguments)}` ended with exit code {code}")


def prepare(storage: Path, lock: Lock) -> Path:
    """Put base model and data where the Jobs expect them; return the base model's folder."""
    subprocess.run([RUNNER_PYTHON, "-m", "demo.base_model", "--storage", storage], cwd=ROOT, check=True)
    for dataset in lock.run.datasets:
        target = storage / "data" / "training-datasets" / dataset.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(DATA / Path(dataset.path).name, target)
    return storage / "models" / "base-model" / lock.run.model.path


def show_answer(before: dict[str, Any], after: dict[str, Any]) -> None:
    """One held-out message, preferably one that the base model got wrong and the tuned one right."""
    pairs = list(zip(before["examples"], after["examples"], strict=True))
    learned = [pair for pair in pairs if _right(pair[1]) and not _right(pair[0])]
    old, new = (learned or pairs)[0]
    console.print(
        f"   message: {old['input']}\n   before:  {old['answer'].strip()}\n   after:   {new['answer'].strip()}"
    )


def _right(example: dict[str, str]) -> bool:
    return example["answer"].strip().casefold() == example["expected"].casefold()


def run(storage: Path) -> dict[str, Any]:
    """All steps; returns what the last line reports.

    Raises:
        StepError: a step failed.
    """
    started = time.monotonic()
    tracking_uri = f"sqlite:///{storage}/mlflow.db"
    lock = Repository(ROOT).lock(f"{OVERLAY}/run.yaml")
    step(1, "Base model and data onto the storage")
    base = prepare(storage, lock)
    step(2, "What the merge request's pipeline says of the experiment")
    call("validate", EXPERIMENT)
    call("plan", EXPERIMENT)
    call("expand", "--check")
    step(3, "The base model on held-out messages")
    held_out = ["--data", str(DATA / "customer-topics-held-out.json")]
    before = heavy("demo.evaluate", "--model", str(base), *held_out)
    console.print(
        f"   accuracy {before['accuracy']:.1%} (likeliest of the seven topics: {before['accuracy_choice']:.1%})"
    )
    console.print(f"   always the commonest topic: {before['majority']:.1%}")
    step(4, "Training Job, then PostSync Job: merge, publish, register")
    call("run", OVERLAY, "--storage", str(storage), "--tracking-uri", tracking_uri)
    assert lock.model_folder is not None
    model = storage / "models" / "merged-model" / lock.model_folder
    step(5, "The tuned model on the same messages")
    after = heavy("demo.evaluate", "--model", str(model), *held_out)
    picture = storage / "loss.png"
    loss = heavy("demo.loss_curve", "--tracking-uri", tracking_uri, "--run-id", lock.run_id, "--out", str(picture))
    version = heavy("demo.registered", "--tracking-uri", tracking_uri, "--run-id", lock.run_id)
    console.print(f"   accuracy {before['accuracy']:.1%} -> [bold]{after['accuracy']:.1%}[/bold]")
    show_answer(before, after)
    console.print(f"   loss {loss['first']:.2f} -> {loss['last']:.2f}, curve in {picture}")
    console.print(f"   registered: {version['name']} version {version['version']}, alias candidate")
    console.print(
        f"   folder for vLLM: {model}\n   MLflow: {RUNNER_PYTHON.parent}/mlflow ui --backend-store-uri {tracking_uri}"
    )
    return {
        "accuracy_before": before["accuracy"],
        "accuracy_after": after["accuracy"],
        "accuracy_majority": before["majority"],
        "model_dir": str(model),
        "tracking_uri": tracking_uri,
        "model_name": version["name"],
        "model_version": version["version"],
        "seconds": round(time.monotonic() - started, 1),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of the demo."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument(
        "--storage", type=Path, required=True, metavar="DIR", help="folder that plays the tenant's storage"
    )
    storage: Path = parser.parse_args(argv).storage.resolve()
    storage.mkdir(parents=True, exist_ok=True)
    try:
        result = run(storage)
    except (StepError, subprocess.CalledProcessError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    print(f"DEMO {json.dumps(result)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
