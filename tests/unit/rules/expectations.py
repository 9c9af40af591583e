"""What fixture files expect to be found in them: lines `# expect: LINE:COLUMN rule`."""

from __future__ import annotations

import re
from pathlib import Path

FIXTURES = Path(__file__).parents[2] / "fixtures"
_LINE = re.compile(r"^# expect: ([0-9]+):([0-9]+) ([a-z-]+)$", re.MULTILINE)


def expected_in(path: Path) -> list[tuple[int, int, str]]:
    """Line, column and rule of each expected finding, in the order of the file."""
    text = path.read_text(encoding="utf-8")
    return sorted((int(line), int(column), rule) for line, column, rule in _LINE.findall(text))
