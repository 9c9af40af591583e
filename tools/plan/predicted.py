"""How sure a prediction is, and from what, in words."""

from __future__ import annotations

from tools.predict.correction import Correction

UNSEEN = "not seen before"


def error(found: Correction) -> str:
    """The error to expect."""
    return UNSEEN if found.error is None else f"\u00b1 {found.error:.0%}"


def group(found: Correction) -> str:
    """Which runs it was learnt from: the GPU, with method and model where enough runs had them too."""
    gpu, *finer = found.group
    return ", ".join([*reversed(finer), gpu])


def grounds(found: Correction, formula: str) -> tuple[str, str]:
    """Error and source. formula: what the formulas said."""
    if not found.runs:
        return error(found), "formulas alone"
    return error(found), f"{found.runs} finished runs of {group(found)}; {formula}"
