"""Each dataset is of a kind that the stage learns from.

sft takes conversations (alpaca, sharegpt, openai), dpo and rm preference pairs (`ranking: true`), kto answers with a
thumb up or down (column `kto_tag`), pt plain text (alpaca's `prompt` column).

Fails:

    stage: dpo
    datasets: [support-pl]          # its manifest has no ranking: true

Passes:

    stage: sft
    datasets: [support-pl]
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding, quote
from tools.formats.dataset import Dataset
from tools.rules.datasets import named
from tools.rules.subject import Subject

ID = "dataset-stage"
KIND = "experiment"
NEEDS = ("stage",)
# Source: llamafactory/data/loader.py, _get_merged_dataset; data/processor/.
_WANTED = {
    "sft": "conversations: no ranking and no kto_tag",
    "pt": "plain text: format alpaca, no ranking",
    "dpo": "preference pairs: ranking: true",
    "rm": "preference pairs: ranking: true",
    "kto": "answers with a column kto_tag",
}


def check(subject: Subject) -> Iterator[Finding]:
    """Compare each manifest with the stage."""
    stage, seen = subject.experiment.stage, set()
    for index, name in named(subject):
        dataset = subject.repository.dataset(subject.tenant_name, name)
        if dataset is None or name in seen or suits(dataset, stage):
            continue
        seen.add(name)
        found = f"stage {stage} cannot learn from {quote(name)} ({kind_of(dataset)})"
        remedy = "choose another dataset or stage"
        yield subject.parsed.document.finding(("datasets", index), ID, found, _WANTED[stage], remedy)


def kind_of(dataset: Dataset) -> str:
    """What a dataset is, in words."""
    if dataset.ranking:
        return f"{dataset.format}, preference pairs"
    return f"{dataset.format}, with kto_tag" if "kto_tag" in dataset.columns else f"{dataset.format}, no ranking"


def suits(dataset: Dataset, stage: str) -> bool:
    """Whether a stage can learn from a dataset."""
    tagged = "kto_tag" in dataset.columns
    if stage in ("dpo", "rm"):
        return dataset.ranking
    if stage == "kto":
        return tagged and not dataset.ranking
    if stage == "pt":
        return dataset.format == "alpaca" and not dataset.ranking
    return not dataset.ranking and not tagged
