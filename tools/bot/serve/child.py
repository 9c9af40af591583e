"""A task in a process of its own: reading ten thousand files must not hold up a report, which shares the interpreter's lock with it.

The process is a new one each time, so that its memory is given back, and of low priority. It ends with the server's own orderly
end; one whose server was killed finishes its round, which is harmless beside the next server's.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection

from tools.bot.settings import BotSettings, secret
from tools.errors import FtError, ToolFault

_NICER = 10
_log = logging.getLogger("ft.bot")
Work = Callable[[str, BotSettings], int]


def apart(work: Work, key: str, settings: BotSettings) -> int:
    """What `work(key, settings)` returns, done elsewhere; `work` is a module's function.

    Raises:
        ToolFault: it failed, or its process died.
    """
    context = multiprocessing.get_context("spawn")  # a fork would copy this process's threads' locks
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_do, args=(there, work, key, settings), daemon=True)
    process.start()
    there.close()
    try:
        code, fault = here.recv()
    except EOFError:
        code, fault = 0, "its process died; the log above says why"
    finally:
        here.close()
        process.join()
    if fault:
        raise ToolFault(fault)
    return int(code)


def _do(answer: Connection, work: Work, key: str, settings: BotSettings) -> None:
    from tools.bot.serve.command import log_to_stderr

    os.nice(_NICER)
    log_to_stderr([secret(settings.gitlab.token_file)])
    try:
        answer.send((work(key, settings), ""))
    except FtError as error:
        answer.send((error.exit_code, str(error)))
    except Exception:  # noqa: BLE001 - as in the workers: one task's fault is that task's
        _log.exception("%s: a fault of the bot", key)  # not left to multiprocessing, which masks nothing
        answer.send((FtError.exit_code, "a fault of the bot; the log above says which"))
