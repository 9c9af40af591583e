"""Say, from their locks, which model version each of some overlays will register.

`python -m ci.registrations overlays/<env>/<tenant>/<name> ...` prints a Markdown table, one row per overlay. The
version's number is the registry's to give, so the row names what finds it: the registered model and the run id, which
the version carries as a tag.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import yaml

from tools.formats.lock import Lock

HEADER = "| run id | Application | Job | registers as |\n|---|---|---|---|"


def read_lock(overlay: Path) -> Lock:
    """The lock of an overlay folder; raises `OSError`, `yaml.YAMLError` or `pydantic.ValidationError` on a broken one."""
    return Lock.model_validate(yaml.safe_load((overlay / "run.yaml").read_text(encoding="utf-8")))


def registration(lock: Lock) -> str:
    """What the run's PostSync Job does with the finished adapter."""
    if lock.state == "cancelled":
        return "nothing: cancelled"
    if lock.run.publish is None:
        return "nothing: the adapter is the result"
    if not lock.run.publish.merge:
        return f"{lock.run.publish.model_name}, once somebody runs `ft publish {lock.run_id}`"
    return lock.run.publish.model_name


def row(lock: Lock) -> str:
    """The table row of one run."""
    return f"| {lock.run_id} | {lock.run.tenant}.{lock.run.name} | {lock.job_name} | {registration(lock)} |"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; exit code 0."""
    parser = argparse.ArgumentParser(prog="ci.registrations", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("overlays", nargs="+", type=Path, metavar="OVERLAY", help="folder with a run.yaml")
    overlays: list[Path] = parser.parse_args(argv).overlays
    print(HEADER)
    for overlay in overlays:
        print(row(read_lock(overlay)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
