"""The Job controller's verdict on a container that ended: done, again, or failed."""

from __future__ import annotations

from typing import Literal

from tools.render.documents import Manifest

Verdict = Literal["done", "again", "failed"]

MEANING = {
    1: "unexpected error",
    2: "bad spec",
    3: "data or model does not match its hash",
    4: "out of memory",
    5: "time limit used up",
    75: "retry: checkpoint saved, or the infrastructure failed",
}
_SIGNALLED = 128


def exit_code(returncode: int) -> int:
    """A process's return code as a container's: death by signal N is 128 + N."""
    return _SIGNALLED - returncode if returncode < 0 else returncode


def meaning(code: int) -> str:
    """The exit code in words."""
    return MEANING.get(code, f"killed by signal {code - _SIGNALLED}" if code > _SIGNALLED else "unexpected error")


def verdict(job: Manifest, code: int, failures: int) -> Verdict:
    """What follows exit code `code` after `failures` earlier failures that count."""
    if code == 0:
        return "done"
    if _action(job, code) == "FailJob" or failures >= job["spec"].get("backoffLimit", 6):
        return "failed"
    return "again"


def _action(job: Manifest, code: int) -> str:
    """The action of the first rule that matches; pod conditions such as a drained node never hold on this machine."""
    for rule in (job["spec"].get("podFailurePolicy") or {}).get("rules", []):
        codes = rule.get("onExitCodes")
        if codes and (code in codes["values"]) == (codes["operator"] == "In"):
            return str(rule["action"])
    return "Count"
