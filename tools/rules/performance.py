"""`performance: auto` keeps examples apart, so it does not go with packing that mixes them.

With `packing: true` alone the examples in a sequence see each other, which is other mathematics than that of the rows by
themselves. `neat_packing: true` keeps them apart; leave both out and auto packs where that is quicker.

Fails:

    performance: auto
    train: {packing: true}

Passes:

    performance: auto
    train: {neat_packing: true}
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding
from tools.rules.subject import Subject

ID = "performance"
KIND = "experiment"
NEEDS = ("performance", "stage", "train")


def check(subject: Subject) -> Iterator[Finding]:
    """Refuse packing with leaks under auto; in pre-training, texts are joined whatever packs them."""
    experiment, train = subject.experiment, subject.train
    if experiment.performance != "auto" or experiment.stage != "sft":
        return
    if train.get("packing") is True and train.get("neat_packing") is not True:
        remedy = "leave packing out (auto packs where it helps), write neat_packing: true, or performance: as-written"
        found = "packing under performance: auto, in which examples see each other"
        yield subject.parsed.document.finding(("train", "packing"), ID, found, None, remedy)
