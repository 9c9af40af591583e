"""All generators in one call: `python -m tools.generate` writes, `--check` compares and returns 1 on any difference.

The tables of LLaMA Factory need the runner's environment; elsewhere they are left to the tests of that environment.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec

from tools.generate import failures_page, rules_page, schemas


def main(argv: Sequence[str] | None = None) -> int:
    """Run every generator that this environment can run."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    generators = [schemas.main, rules_page.main, failures_page.main]
    if find_spec("llamafactory"):
        from tools.generate import llamafactory_tables

        generators.append(llamafactory_tables.main)
    return max(generator(arguments) for generator in generators)


if __name__ == "__main__":
    sys.exit(main())
