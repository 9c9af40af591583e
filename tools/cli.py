"""The command `ft`: finds the sub-command, imports only that one and turns faults into exit codes.

Exit codes: 0 fine, 1 findings, 2 wrong usage, 3 the tool itself failed. Findings go to stdout, tool faults to stderr.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from tools.errors import FtError

COMMANDS: dict[str, str] = {
    "new": "write a commented experiment that validates",
    "import": "turn a LLaMA Factory YAML into an experiment",
    "validate": "check files; every fault in one run",
    "plan": "say what an experiment would do, need and cost",
    "expand": "write overlays from experiments, or check them",
    "render": "build overlays with kustomize and check them against the Kubernetes schemas",
    "run": "run an overlay's Jobs on this machine",
    "status": "say where a run stands and why it waits",
    "watch": "follow runs until they end",
    "cancel": "stop an experiment for good",
    "doctor": "check a cluster, or the GitLab project, against what the platform needs",
    "verify": "say whether overlays are what was approved, from the clone alone",
    "publish": "merge, publish and register a finished run by hand",
    "reproduce": "run a finished run again and say whether the same came out",
    "storage": "say what runs hold on a tenant's storage, and remove what may go",
    "ledger": "say what runs took and cost, by tenant, model or month",
    "predictions": "compare what was predicted of finished runs with what they measured",
    "dataset": "add or check a dataset",
    "model": "add a base model to the catalogue",
    "models": "list registered models and what is served or recalled, or compare two versions",
    "promote": "write what is served: a promotion or a rollback, for the approvers to allow",
    "recall": "list every model trained on a dataset, or recall it",
    "serve-check": "ask a running vLLM which model it serves, and probe its answers",
    "tenant": "add a tenant",
    "bot": "answer merge requests, authorize what was merged, keep the records (platform admins)",
}

_OBJECTS_BETWEEN_COLLECTIONS = 50_000


class Parser(argparse.ArgumentParser):
    """argparse, with `main`'s exit code for wrong usage."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and leave with 2."""
        self.print_usage(sys.stderr)
        self.exit(2, f"{self.prog}: {message}; see `{self.prog} --help`\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run `ft` with `argv` (the process's own when omitted) and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in {"-h", "--help"}:
        print(overview())
        return 0 if arguments else 2
    name = arguments[0]
    if name not in COMMANDS:
        print(f"ft: unknown command {name!r}; the commands are {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    return _call(name, arguments[1:])


def overview() -> str:
    """The text of `ft --help`."""
    rows = "\n".join(f"  {name:<10} {text}" for name, text in COMMANDS.items())
    return f"usage: ft COMMAND ...\n\nFine-tune large language models from one reviewed YAML file.\n\ncommands:\n{rows}\n\n`ft COMMAND --help` explains each."


def parser_of(name: str) -> argparse.ArgumentParser:
    """The argument parser of one command."""
    file = "import_" if name == "import" else name.replace("-", "_")
    module = importlib.import_module(f"tools.commands.{file}")
    parser = Parser(prog=f"ft {name}", description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    module.add_arguments(parser)
    parser.set_defaults(run=module.run)
    return parser


def _call(name: str, arguments: list[str]) -> int:
    try:
        options = parser_of(name).parse_args(arguments)
        return int(options.run(options))
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 2
    except FtError as error:
        print(f"ft {name}: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print(f"ft {name}: interrupted", file=sys.stderr)
        return 130


def entry_point() -> NoReturn:
    """The console script."""
    # A command lives seconds and makes few cycles: to look for them as often as Python does costs a tenth of its time.
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    sys.exit(main())
