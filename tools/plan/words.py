"""Numbers as people read them, always with their unit."""

from __future__ import annotations

from tools.plan.memory import GIB

_BAR = 30
_MIB = 1024**2


def size(count: float) -> str:
    """Bytes as GiB, or MiB where that reads better."""
    return f"{count / GIB:,.1f} GiB" if count >= GIB / 10 else f"{count / _MIB:,.1f} MiB"


def hours(amount: float) -> str:
    """Hours, or minutes below one."""
    return f"{amount:,.1f} h" if amount >= 1 else f"{amount * 60:,.0f} min"


def count(number: float) -> str:
    """A large number in short: 1.2 million, 3.4 billion."""
    for unit, word in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if number >= unit:
            return f"{number / unit:,.1f} {word}"
    return f"{number:,.0f}"


def bar(share: float) -> str:
    """A share (0 to 1 and over) as `#####-----`, 30 characters."""
    filled = min(_BAR, max(0, round(share * _BAR)))
    return "#" * filled + "-" * (_BAR - filled)
