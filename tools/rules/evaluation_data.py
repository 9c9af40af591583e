"""Held-out data holds prompts with an expected answer: conversations (alpaca, sharegpt, openai).

Base, candidate and champion are asked each prompt and their answers compared with the expected one. Preference pairs and thumbs
up or down have no one expected answer.

Fails:

    evaluation: {datasets: [pairs-pl]}          # its manifest says ranking: true

Passes:

    evaluation: {datasets: [held-out-pl]}
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding, quote
from tools.rules.dataset_stage import kind_of, suits
from tools.rules.evaluation import datasets
from tools.rules.subject import Subject

ID = "evaluation-data"
KIND = "experiment"
NEEDS = ("evaluation",)


def check(subject: Subject) -> Iterator[Finding]:
    """Look at each manifest."""
    for index, name in datasets(subject):
        dataset = subject.repository.dataset(subject.tenant_name, name)
        if dataset is not None and not suits(dataset, "sft"):
            found = f"no model is scored on {quote(name)} ({kind_of(dataset)})"
            allowed, remedy = (
                "conversations: no ranking and no kto_tag",
                "choose data with one expected answer a prompt",
            )
            yield subject.parsed.document.finding(("evaluation", "datasets", index), ID, found, allowed, remedy)
