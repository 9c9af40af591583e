"""The base model's licence is one that the bank accepts.

The accepted licences stand in environments/platform.yaml, a model's own in its catalogue entry. What is trained from a
model inherits its terms.

Fails:

    model: research-only-7b         # catalog/models/: licence: cc-by-nc-4.0

Passes:

    model: smollm2-135m-instruct    # licence: apache-2.0
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding, quote
from tools.rules.subject import Subject

ID = "licence"
KIND = "experiment"
NEEDS = ("model",)


def check(subject: Subject) -> Iterator[Finding]:
    """Compare the licence with the platform's list."""
    model, platform = subject.model, subject.repository.platform
    may_use = subject.tenant is None or subject.experiment.model in subject.tenant.models
    if model is None or platform is None or not may_use or model.licence in platform.licences:
        return
    found = f"the licence of {subject.experiment.model} is {quote(model.licence)}"
    remedy = "choose another model, or ask a platform admin"
    yield subject.parsed.document.finding(("model",), ID, found, ", ".join(platform.licences), remedy)
