"""Packages that some metrics need and an image may lack: known before training, so that no GPU hour ends in a missing import."""

from __future__ import annotations

from importlib.util import find_spec

from runner.exits import BadSpec
from tools.formats.lock import Lock

# llamafactory/train/sft/metric.py imports them where they are there.
PACKAGES = {
    "llamafactory_rouge_l": ("jieba", "nltk", "rouge_chinese"),
    "llamafactory_bleu_4": ("jieba", "nltk", "rouge_chinese"),
}


def check(lock: Lock) -> None:
    """Refuse metrics that this environment cannot compute.

    Raises:
        BadSpec: names metrics and packages.
    """
    wanted = lock.run.evaluation.metrics if lock.run.evaluation else []
    missing = {
        metric: [package for package in PACKAGES.get(metric, ()) if find_spec(package) is None] for metric in wanted
    }
    lacking = [f"{metric} ({', '.join(packages)})" for metric, packages in missing.items() if packages]
    if lacking:
        raise BadSpec(
            f"evaluation.metrics: {', '.join(lacking)} need packages that this image lacks",
            "have a platform admin build it with the extra `evaluation` (pyproject.toml), or copy the experiment without them",
        )
