"""The list of benchmarks, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from bench import auto, cluster, dataset_check, merge, outage, report, runner_share, scale, startup
from bench.options import Options
from bench.table import Row

BENCHMARKS: Mapping[str, Callable[[Options], Iterator[Row]]] = {
    "startup": startup.rows,
    "scale": scale.rows,
    "report": report.rows,
    "datasets": dataset_check.rows,
    "merge": merge.rows,
    "merge-7gb": merge.large_rows,
    "cluster": cluster.rows,
    # Last, and not with --quick: it trains for minutes.
    "runner": runner_share.rows,
    "outage": outage.rows,
    "auto": auto.rows,
}
SLOW = frozenset({"cluster", "merge", "merge-7gb", "runner", "outage", "auto"})
