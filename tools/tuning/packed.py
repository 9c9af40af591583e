"""Sequence lengths at which packed rows give as many steps as the rows alone.

Packing puts several rows into one sequence of `cutoff_len` tokens and keeps them apart (neat packing), so the effective batch is
counted in tokens: a step trains on as many of them, in more or fewer rows. No row may be cut that was whole before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from typing import Any

from tools.formats.dataset import Dataset
from tools.plan.steps import Steps, training_steps, value

_ROUND = 8  # tensor cores like such lengths
_LONGEST = 8192  # the mask of packed rows has length x length numbers
_SAME = 0.02  # of the steps of an epoch
_MOST_SEQUENCES = 16
_FULL = 0.9  # of a packed sequence is rows, at least
_ROWS = 4  # in a sequence, at least: how full fewer become hangs on single lengths, which a manifest does not hold
_TRIES = 4


def capacities(
    datasets: Sequence[Dataset], settings: Mapping[str, Any], wanted: Steps, devices: Mapping[str, int]
) -> Iterator[tuple[int, int]]:
    """`cutoff_len` and sequences a step of one process, for as many steps an epoch as `wanted` has, within 2 %.

    devices: gpus and nodes, for the count of steps.
    """
    longest, cut = _longest(datasets), value(settings, "cutoff_len")
    least = min(longest, cut) + 1  # LLaMA Factory takes one off (llamafactory/hparams/data_args.py)
    most = least if longest > cut else _LONGEST
    mean = _mean(datasets, cut)
    least = max(least, ceil(_ROWS * mean))
    if least > most:
        return
    tokens = mean * wanted.examples_per_step / (max(1, devices["gpus"]) * devices["nodes"])
    for sequences in range(1, min(_MOST_SEQUENCES, int(tokens / (least * _FULL))) + 1):
        first = _allowed(ceil(tokens / sequences), (least, most))
        found = _fitted(datasets, settings, wanted, devices, sequences, first, (least, most))
        if found is not None:
            yield found, sequences


def _fitted(
    datasets: Sequence[Dataset],
    settings: Mapping[str, Any],
    wanted: Steps,
    devices: Mapping[str, int],
    sequences: int,
    length: int,
    bounds: tuple[int, int],
) -> int | None:
    """The length for a number of sequences, from a first guess on; None where no allowed one gives the steps."""
    for _ in range(_TRIES):
        packed = {
            **settings,
            "neat_packing": True,
            "cutoff_len": length,
            "per_device_train_batch_size": 1,
            "gradient_accumulation_steps": sequences,
        }
        steps = training_steps(datasets, packed, **devices).steps_per_epoch
        if abs(steps - wanted.steps_per_epoch) <= _SAME * wanted.steps_per_epoch:
            return length
        following = _allowed(ceil(length * steps / wanted.steps_per_epoch), bounds)
        if following == length:
            return None
        length = following
    return None


def _allowed(length: int, bounds: tuple[int, int]) -> int:
    """The next multiple of 8 within the bounds."""
    least, most = bounds
    return min(most, max(least, ceil(length / _ROUND) * _ROUND))


def _mean(datasets: Sequence[Dataset], cut: int) -> float:
    """Tokens of a usual row."""
    rows = sum(dataset.rows for dataset in datasets)
    return sum(dataset.rows * min(cut, dataset.tokens.mean) for dataset in datasets if dataset.tokens) / rows


def _longest(datasets: Sequence[Dataset]) -> int:
    return max(dataset.tokens.max for dataset in datasets if dataset.tokens is not None)
