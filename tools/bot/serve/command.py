"""`ft bot serve`: start the server, end it on SIGTERM after what is under way."""

from __future__ import annotations

import argparse
import fcntl
import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tools.bot.settings import BotSettings, secret
from tools.errors import UsageError

DEADLINE = 5  # seconds for requests under way


def run(arguments: argparse.Namespace, settings: BotSettings) -> int:
    """Serve until SIGTERM or SIGINT; 0 then.

    Raises:
        UsageError: another `ft bot serve` uses the same work folder.
    """
    import uvicorn

    from tools.bot.serve.app import Service

    log_to_stderr([secret(settings.gitlab.token_file)])
    with _alone(settings):
        app = Service(settings).app()
        config = uvicorn.Config(
            app, host=arguments.host, port=arguments.port, log_config=None, access_log=False, server_header=False,
            proxy_headers=False, lifespan="on", timeout_graceful_shutdown=DEADLINE, limit_concurrency=256,
        )  # fmt: skip
        server = uvicorn.Server(config)
        # uvicorn raises the signal again once it has ended; that must not turn a good end into a death by signal.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: None)
        server.run()
    return 0 if server.started else 3


@contextmanager
def _alone(settings: BotSettings) -> Iterator[None]:
    """One server for a work folder: two would do each other's tasks."""
    settings.work.mkdir(parents=True, exist_ok=True)
    with (settings.work / "serve.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"another `ft bot serve` uses {settings.work}; stop it, or give this one its own `work`"
            ) from None
        yield


class _Masking(logging.Formatter):
    """No secret leaves in a line of the log, a traceback included."""

    def __init__(self, secrets: list[str]) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        for each in self._secrets:
            text = text.replace(each, "***")
        return text


def log_to_stderr(secrets: list[str]) -> None:
    """One handler for everything, this process's libraries too."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Masking(secrets))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("urllib3").setLevel(logging.WARNING)
