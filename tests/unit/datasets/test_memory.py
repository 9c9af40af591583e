"""Memory does not grow with the file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SIZE = 100 << 20
PROGRAM = """
import sys
from pathlib import Path
from tools.datasets.check import check
from tools.datasets.detect import Choice
report = check(Path(sys.argv[1]), Choice())
# Not ru_maxrss: that begins with the peak of the process that forked this one.
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(report.rows, len(report.errors), int(peak) // 1024)
"""


@pytest.mark.parametrize("kind", ["jsonl", "json"])
def test_a_hundred_mebibytes_take_less_than_80_of_memory(kind: str, tmp_path: Path) -> None:
    """A file of 100 MiB is checked in a process that peaks below 80 MiB, interpreter included."""
    path = tmp_path / f"large.{kind}"
    row = '{"instruction": "What is the fee for a transfer of %d euros?", "output": "' + "It depends. " * 400 + '"}'
    rows = SIZE // len(row)
    with path.open("w") as stream:
        stream.write("[" if kind == "json" else "")
        for number in range(rows):
            stream.write(row % number + (",\n" if kind == "json" and number < rows - 1 else "\n"))
        stream.write("]" if kind == "json" else "")
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(path)], capture_output=True, text=True, check=True)
    counted, errors, peak = map(int, done.stdout.split())
    assert (counted, errors) == (rows, 0)
    assert peak < 80
