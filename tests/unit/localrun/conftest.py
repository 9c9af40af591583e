"""A small platform of its own for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.platform_copy import expanded_platform


@pytest.fixture
def platform(tmp_path: Path) -> Path:
    """The fixture's platform with all its overlays."""
    return expanded_platform(tmp_path / "platform")
