"""Finds the registered version of a run.

Run it with `.venv-runner/bin/python -m demo.registered --tracking-uri URI --run-id RUN_ID`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Print name and version of the model version with the tag `run_id` as JSON; 1 when there is none."""
    parser = argparse.ArgumentParser(prog="python -m demo.registered", description="The registered version of a run.")
    parser.add_argument("--tracking-uri", required=True)
    parser.add_argument("--run-id", required=True)
    args = parser.parse_args(argv)
    from mlflow import MlflowClient

    versions = MlflowClient(args.tracking_uri).search_model_versions(f"tags.run_id = '{args.run_id}'")
    if not versions:
        print(f"{args.tracking_uri} has no model version with the tag run_id = {args.run_id}", file=sys.stderr)
        return 1
    print(json.dumps({"name": versions[0].name, "version": int(versions[0].version), "aliases": versions[0].aliases}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
