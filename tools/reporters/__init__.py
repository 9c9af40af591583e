"""How findings are printed: one module a format, each `report(findings, files) -> str`. They know nothing of rules."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence

from tools.findings import Finding

Reporter = Callable[[Sequence[Finding], Sequence[str]], str]


def _lazy(name: str) -> Reporter:
    """A reporter whose module is imported when it is called."""

    def report(findings: Sequence[Finding], files: Sequence[str]) -> str:
        text: str = importlib.import_module(f"tools.reporters.{name}").report(findings, files)
        return text

    return report


# Name -> reporter; the names are the choices of `--format`.
REPORTERS: dict[str, Reporter] = {
    "text": _lazy("text"),
    "json": _lazy("json_array"),
    "junit": _lazy("junit"),
    "codequality": _lazy("codequality"),
    "sarif": _lazy("sarif"),
    "markdown": _lazy("markdown"),
}
