"""Argo CD under load: how long a commit takes to become a Job, and what the Applications of finished runs cost.

A program of its own measures on a real control plane, with the programs that `make e2e` builds; see bench/programs/cluster.py.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

from bench.measure import BenchError, Measure
from bench.options import PYTHON, ROOT, Options
from bench.table import Row


def rows(options: Options) -> Iterator[Row]:
    """Each figure as soon as it is measured."""
    quick = ["--quick"] if options.quick else []
    command = [str(PYTHON), "-m", "bench.programs.cluster", str(options.work / "cluster"), *quick]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        for line in program.stdout:
            figure = json.loads(line)
            measure = Measure(figure["cpu"], figure["wall"], figure["memory"])
            yield Row(figure["benchmark"], figure["what"], measure, unit=figure["unit"], remark=figure["remark"])
    if program.returncode != 0:
        raise BenchError(f"bench.programs.cluster ended with {program.returncode}; what it said stands above")
