"""`ft bot reconcile` and `ft bot retire`: one round over one environment or all of the settings'."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from tools.bot.upkeep.reconcile import reconcile, retire_finished
from tools.bot.upkeep.surroundings import of
from tools.errors import UsageError

if TYPE_CHECKING:
    from tools.bot.settings import BotSettings

_ACTIONS = {"reconcile": reconcile, "retire": retire_finished}


def run(arguments: argparse.Namespace, settings: BotSettings) -> int:
    """Do one round; what was done goes to stdout, what could not be done to stderr, and 3 says that there was some.

    arguments: `action`, a key of `_ACTIONS`; `environment`, None for all of the settings'.
    """
    if arguments.environment is not None and arguments.environment not in settings.environments:
        known = ", ".join(settings.environments)
        raise UsageError(f"this bot does not deploy to {arguments.environment}; its settings name {known}")
    chosen = [arguments.environment] if arguments.environment else settings.environments
    around = of(settings)
    failed = False
    for environment in chosen:
        report = _ACTIONS[arguments.action](around, environment)
        for line in report.done:
            print(f"{environment}: {line}")
        for fault in report.faults:
            print(f"{environment}: {fault}", file=sys.stderr)
        failed |= bool(report.faults)
    return 3 if failed else 0
