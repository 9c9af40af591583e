"""A dataset is listed once.

Listed twice, its rows would count twice. LLaMA Factory mixes datasets by `mix_strategy` and `interleave_probs`.

Fails:

    datasets: [support-pl, support-pl]

Passes:

    datasets: [support-pl, complaints-pl]
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding, quote
from tools.rules.datasets import named
from tools.rules.subject import Subject

ID = "dataset-repeated"
KIND = "experiment"
NEEDS: tuple[str, ...] = ()


def check(subject: Subject) -> Iterator[Finding]:
    """Report each entry that was there before."""
    seen = set()
    for index, name in named(subject):
        if name in seen:
            found = f"the dataset {quote(name)} a second time"
            yield subject.parsed.document.finding(("datasets", index), ID, found, "each dataset once", "remove it")
        seen.add(name)
