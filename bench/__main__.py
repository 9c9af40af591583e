"""Command line of the benchmarks.

python -m bench                      all of them, some two hours on 2 cores
python -m bench startup scale        only these
python -m bench --quick              small sizes, no training: a few minutes
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.measure import BenchError
from bench.options import ROOT, Options
from bench.registry import BENCHMARKS, SLOW
from bench.table import Row, duration, render


def main(argv: Sequence[str] | None = None) -> int:
    """Run benchmarks and print the table; 1 when one of them failed. A missed goal fails nothing: machines differ."""
    args = _parser().parse_args(argv)
    names = [name for name in BENCHMARKS if name in args.names or not (args.names or (args.quick and name in SLOW))]
    rows: list[Row] = []
    failed = False
    for name in names:
        try:
            rows.extend(_run(name, args))
        except BenchError as error:
            failed = True
            print(f"bench {name}: {error}", file=sys.stderr)
    table = render(rows)
    print(table, end="")
    if args.output:
        args.output.write_text(table, encoding="utf-8")
    return 1 if failed else 0


def _run(name: str, args: argparse.Namespace) -> Iterator[Row]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for row in BENCHMARKS[name](Options(Path(folder), args.storage.resolve(), quick=args.quick)):
            memory = f", {row.measure.memory:.0f} MiB" if row.measure else ""
            figures = f"{duration(row.cpu)} of CPU per {row.unit}{memory} {row.remark}"
            print(f"measured: {row.benchmark}: {row.what}: {figures}", file=sys.stderr, flush=True)
            yield row


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", choices=BENCHMARKS, help=", ".join(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="small sizes, and no training unless it is named")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the table there as well, as Markdown")
    storage = ROOT / ".local" / "demo"
    parser.add_argument(
        "--storage", type=Path, default=storage, help="holds the demo's base model, or will (.local/demo)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
