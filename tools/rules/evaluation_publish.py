"""What is evaluated is a published model that writes answers.

The evaluation follows the merge: without `publish:` there is no model to score and no version to mark. A reward model (stage rm)
gives numbers, not answers.

Fails:

    evaluation: {datasets: [held-out-pl]}       # and no publish:

Passes:

    publish: {model_name: assistant}
    evaluation: {datasets: [held-out-pl]}
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding
from tools.rules.evaluation import section
from tools.rules.subject import Subject

ID = "evaluation-publish"
KIND = "experiment"
NEEDS = ("evaluation", "publish", "stage")


def check(subject: Subject) -> Iterator[Finding]:
    """Compare the section with publish and stage."""
    experiment = subject.experiment
    if section(subject) is None:
        return
    if experiment.stage == "rm":
        found, allowed, remedy = "evaluation of a reward model", "stages pt, sft, dpo and kto", "remove evaluation:"
    elif experiment.publish is None:
        found, allowed, remedy = (
            "evaluation without publish",
            "a published model",
            "add publish:, or remove evaluation:",
        )
    else:
        return
    yield subject.parsed.document.finding(("evaluation",), ID, found, allowed, remedy, key=True)
