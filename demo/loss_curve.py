"""Draws a run's training loss, as MLflow holds it, into a picture.

Run it with `.venv-runner/bin/python -m demo.loss_curve --tracking-uri URI --run-id RUN_ID --out FILE`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class NoSuchRunError(Exception):
    """MLflow has no run with that run id, or the run has no loss."""


def losses(tracking_uri: str, run_id: str) -> list[tuple[int, float]]:
    """(step, loss) of the run with the tag `run_id`; raises NoSuchRunError when there is none."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments, f"tags.run_id = '{run_id}'")
    metrics: list[Any] = client.get_metric_history(runs[0].info.run_id, "loss") if runs else []
    if not metrics:
        raise NoSuchRunError(f"{tracking_uri} has no loss of run {run_id}; train it first: ft run overlays/...")
    return [(metric.step, metric.value) for metric in sorted(metrics, key=lambda metric: metric.step)]


def draw(points: list[tuple[int, float]], run_id: str, out: Path) -> None:
    """Write the loss (nats per token) over optimisation steps as a PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    axes.plot(*zip(*points, strict=True), marker="o", markersize=3, color="#1f5fa8")
    axes.set(xlabel="optimisation step", ylabel="training loss (nats per token)", title=run_id, ylim=(0, None))
    axes.grid(alpha=0.3)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: write the picture, print the first and the last loss as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m demo.loss_curve", description="The loss curve of a run, from MLflow."
    )
    parser.add_argument("--tracking-uri", required=True)
    parser.add_argument("--run-id", required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    points = losses(args.tracking_uri, args.run_id)
    draw(points, args.run_id, args.out)
    print(json.dumps({"first": points[0][1], "last": points[-1][1], "points": len(points)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
