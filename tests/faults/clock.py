"""A wall clock that can be set back for the processes of one test."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("clock.c")


class Clock:
    """`environment` is for processes that are to live by it."""

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            pytest.skip("no C compiler for the clock that can be set back")
        library, self._offset = folder / "clock.so", folder / "clock-offset"
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, SOURCE], check=True)
        self.environment = {"LD_PRELOAD": str(library), "CLOCK_OFFSET_FILE": str(self._offset)}

    def set_back(self, seconds: int) -> None:
        """From now on the clock shows so many seconds less."""
        self._offset.write_text(str(-seconds), encoding="ascii")
