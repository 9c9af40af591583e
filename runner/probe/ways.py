"""The ways of computing a step that a lock allows."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

from tools.formats.lock import Lock
from tools.plan.steps import value

BATCH, ACCUMULATION = "per_device_train_batch_size", "gradient_accumulation_steps"
RECOMPUTATION = "disable_gradient_checkpointing"


class Way(NamedTuple):
    """batch: rows of one pass. kept: whether all activations are kept, so that nothing is computed twice."""

    batch: int
    kept: bool

    def settings(self, lock: Lock) -> dict[str, Any]:
        """LLaMA Factory's arguments: as many rows a step as in the lock."""
        return {BATCH: self.batch, ACCUMULATION: rows(lock) // self.batch, RECOMPUTATION: self.kept}


def rows(lock: Lock) -> int:
    """Rows of one step."""
    settings = lock.run.settings
    return int(value(settings, BATCH) * value(settings, ACCUMULATION))


def locked(lock: Lock) -> Way:
    """What the lock's settings say."""
    settings = lock.run.settings
    return Way(int(value(settings, BATCH)), bool(value(settings, RECOMPUTATION)))


def allowed(lock: Lock) -> list[Way]:
    """All ways of the range, the lock's own included; those that do not keep a step's rows are none. Empty without a range."""
    performance = lock.run.performance
    if performance is None or performance.probe is None:
        return []
    range_ = performance.probe
    found = product(range_.per_device_train_batch_size, range_.disable_gradient_checkpointing)
    return [Way(batch, kept) for batch, kept in found if rows(lock) % batch == 0]


def tried(lock: Lock) -> Iterator[Way]:
    """The lock's own way, then its neighbours: what asks for more of the memory, what asks for less of it."""
    own, ways = locked(lock), allowed(lock)
    sizes = sorted({way.batch for way in ways})
    place = sizes.index(own.batch) if own.batch in sizes else 0
    near = [own.batch, *sizes[place + 1 : place + 2], *sizes[max(0, place - 1) : place]]
    order = [own, *(Way(size, kept) for size in near for kept in (own.kept, not own.kept))]
    yield from dict.fromkeys(way for way in order if way in ways)


def smaller(lock: Lock, way: Way) -> Way | None:
    """The next way that needs less memory: compute layers twice, then half the rows of a pass and on; None at the least one."""
    ways = allowed(lock)
    if way.kept and Way(way.batch, kept=False) in ways:
        return Way(way.batch, kept=False)
    return max((other for other in ways if other.batch < way.batch and (way.kept or not other.kept)), default=None)
