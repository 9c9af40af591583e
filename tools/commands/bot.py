"""The bot: report merge requests, authorize what was merged, keep the records. Platform admins run it; nobody else needs it.

Settings and secrets: --config FILE or FT_BOT_CONFIG (docs/gitlab-setup.md). Needs the packages of the extra "bot".
"""

from __future__ import annotations

import argparse
import importlib
from importlib.util import find_spec
from pathlib import Path

from tools.errors import ToolFault

ACTIONS: dict[str, tuple[str, str]] = {
    "report": ("report", "write or update the comment of merge requests: findings, plan, what approval authorizes"),
    "authorize": ("authorize", "expand and deploy what main holds and its approvers approved"),
    "reconcile": ("upkeep", "make up for missed events: runs not published, cancelled ones still running, outcomes"),
    "retire": ("upkeep", "remove the overlays of runs that ended longer ago than keep_finished"),
    "serve": ("serve", "listen to GitLab's webhooks and do all of it"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions of `ft bot`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    parsers = {name: actions.add_parser(name, help=text, description=text) for name, (_, text) in ACTIONS.items()}
    for each in parsers.values():
        each.add_argument("--config", type=Path, metavar="FILE", help="the bot's settings (default: FT_BOT_CONFIG)")
    for name in ("authorize", "reconcile", "retire"):
        parsers[name].add_argument("--environment", "--env", metavar="E", help="one environment (default: all)")
    report = parsers["report"]
    report.add_argument(
        "--merge-request",
        type=int,
        action="append",
        default=[],
        metavar="N",
        help="its number (default: all open ones)",
    )
    report.add_argument("--follow", action="store_true", help="update the comments of merged ones whose runs go on")
    parsers["authorize"].add_argument("--commit", metavar="SHA", help="a commit of main to judge again")
    parsers["serve"].add_argument("--host", default="127.0.0.1", help="where to listen (127.0.0.1)")
    parsers["serve"].add_argument("--port", type=int, default=8080, help="the port (8080)")


def run(args: argparse.Namespace) -> int:
    """Do one action; 1 when something was refused or found."""
    if find_spec("gitlab") is None or find_spec("starlette") is None:
        raise ToolFault('the bot\'s packages are missing; install requirements/bot.txt (or the extra "bot")')
    from tools.bot import settings

    package, _ = ACTIONS[args.action]
    command = importlib.import_module(f"tools.bot.{package}.command")
    return int(command.run(args, settings.read(args.config)))
