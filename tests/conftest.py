"""Which tests belong to which environment.

Modules marked `heavy` as a whole run in the runner's environment (`make test-heavy`). Elsewhere they are not collected:
their imports would fail, and a list of skipped tests should hold only what nothing runs.
"""

from __future__ import annotations

import ast
import os
from importlib.util import find_spec
from pathlib import Path

import pytest

HAS_RUNNER = find_spec("llamafactory") is not None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave to `make soak` what only it runs."""
    if "SOAK_KILLS" not in os.environ and (left := [item for item in items if item.get_closest_marker("soak")]):
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave heavy modules to the environment that can import them."""
    if HAS_RUNNER or collection_path.suffix != ".py" or "pytestmark" not in (text := collection_path.read_text()):
        return None
    marks = [node for node in ast.parse(text).body if isinstance(node, ast.Assign)]
    return any("pytestmark" in ast.unparse(mark) and "mark.heavy" in ast.unparse(mark) for mark in marks) or None
