"""What each kind of task does: the very functions of `ft bot report`, `authorize`, `reconcile` and `retire`."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from tools.bot.serve.child import apart
from tools.bot.settings import BotSettings
from tools.bot.tasks import Task, Tasks

# They write main; two at once would only make each other begin again.
WRITERS = frozenset({"authorize", "reconcile", "retire"})


def do(task: Task, settings: BotSettings) -> int:
    """Do one task; the command's exit code."""
    return _KINDS[task.kind](task.key, settings)


def _report(key: str, settings: BotSettings) -> int:
    from tools.bot.report import command

    return command.run(_arguments("report", merge_request=[int(key)], follow=False), settings)


def _follow(_key: str, settings: BotSettings) -> int:
    from tools.bot.report import command

    return command.run(_arguments("report", merge_request=[], follow=True), settings)


def _report_open(_key: str, settings: BotSettings) -> int:
    return _ask_reports(settings, all_of_them=True)


def _missed(_key: str, settings: BotSettings) -> int:
    return _ask_reports(settings, all_of_them=False)


def _ask_reports(settings: BotSettings, *, all_of_them: bool) -> int:
    """Ask for the reports of open merge requests, or of those whose head no comment shows yet."""
    store = settings.open_store()
    try:
        for merge_request in settings.open_forge().open_merge_requests():
            last = store.last_shown(merge_request.iid)
            if merge_request.target_branch == "main" and (
                all_of_them or last is None or last[0] != merge_request.head_sha
            ):
                Tasks(store).ask("report", str(merge_request.iid))
    finally:
        store.close()
    return 0


def _authorize(_key: str, settings: BotSettings) -> int:
    from tools.bot.authorize import command

    code = command.run(_arguments("authorize", environment=None, commit=None), settings)
    # The comments say at once what was decided, not at the clock's next round.
    store = settings.open_store()
    Tasks(store).ask("follow", "")
    store.close()
    return code


def _reconcile(_key: str, settings: BotSettings) -> int:
    return apart(_upkeep, "reconcile", settings)


def _retire(_key: str, settings: BotSettings) -> int:
    return apart(_upkeep, "retire", settings)


def _upkeep(action: str, settings: BotSettings) -> int:
    from tools.bot.upkeep import command

    return command.run(_arguments(action, environment=None), settings)


def _arguments(action: str, **values: object) -> argparse.Namespace:
    return argparse.Namespace(action=action, **values)


_KINDS: dict[str, Callable[[str, BotSettings], int]] = {
    "report": _report,
    "report-open": _report_open,
    "missed": _missed,
    "follow": _follow,
    "authorize": _authorize,
    "reconcile": _reconcile,
    "retire": _retire,
}
