"""`ft bot serve` as a process of its own, for tests to talk to, to end and to kill."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WAIT = 60.0
ENTRY = "from tools.cli import entry_point; entry_point()"


def until(condition: Callable[[], Any], what: str = "it") -> Any:
    """Wait for something that happens in another process, and return it."""
    end = time.monotonic() + WAIT
    while not (found := condition()):
        assert time.monotonic() < end, f"{what} never happened"
        time.sleep(0.05)
    return found


@dataclass(frozen=True)
class Answer:
    """What the server said; status 0 when it was not there, or died over it."""

    status: int
    body: bytes

    @property
    def data(self) -> Any:
        """As JSON."""
        return json.loads(self.body)


class BotServer:
    """One server on one port; it may be started again after its end.

    scratch: its folder for temporary files, the system's when None.
    """

    def __init__(self, settings: Path, log: Path, scratch: Path | None = None) -> None:
        self._settings = settings
        self._scratch = {} if scratch is None else {"TMPDIR": str(scratch)}
        self.log = log
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> BotServer:
        """Start it and wait until it answers."""
        command = [sys.executable, "-c", ENTRY, "bot", "serve", "--config", str(self._settings)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--port", str(self.port)],
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **self._scratch},
            )
        until(self._answers, f"the server's start ({self.log.read_text()})")
        return self

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()
        return self.get("/healthz").status > 0

    def terminate(self) -> int:
        """SIGTERM; the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout=WAIT)

    def kill(self) -> None:
        """Kill -9."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    @property
    def resident(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def get(self, path: str, token: str | None = None) -> Answer:
        """GET, with an id token where one is given."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return self._send(urllib.request.Request(self.url + path, headers=headers))

    def post(self, body: bytes, headers: dict[str, str]) -> Answer:
        """A webhook."""
        return self._send(urllib.request.Request(f"{self.url}/webhook", body, headers, method="POST"))

    @staticmethod
    def _send(request: urllib.request.Request) -> Answer:
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return Answer(answer.status, answer.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read())
        except (OSError, http.client.HTTPException):
            return Answer(0, b"")
