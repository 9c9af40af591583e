"""A small HTTP server that answers like argocd-server (v3.2, server/application/application.go): three calls, one project.

The real server is in tests/e2e; this one has the faults that the real one shows seldom.
"""

from __future__ import annotations

import json
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PROJECT = "finetuning-team-a"
TOKEN = "role-token-of-team-a"
_PREFIX = "/api/v1/applications/"


@dataclass
class StandIn:
    """What the server holds, what was asked of it, and how it misbehaves.

    phases: Application -> phase of its operation, empty without one. fault: a status, `hang`, `half` or `redirect`.
    """

    url: str = ""
    phases: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    seen_tokens: set[str] = field(default_factory=set)
    fault: int | str | None = None
    released: threading.Event = field(default_factory=threading.Event)

    def answer(self, method: str, target: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and JSON of a request with a good token."""
        url = urllib.parse.urlsplit(target)
        name, _, action = url.path.removeprefix(_PREFIX).partition("/")
        project = (urllib.parse.parse_qs(url.query).get("project") or [body.get("project")])[0]
        if project != PROJECT:
            return 403, _error(7, "permission denied")
        if name not in self.phases:
            return 404, _error(5, f'applications.argoproj.io "{name}" not found')
        running = self.phases[name] in {"Running", "Terminating"}
        if (method, action) == ("POST", "sync"):
            if running:
                return 400, _error(9, "another operation is already in progress")
            self.phases[name] = "Running"
        elif (method, action) == ("DELETE", "operation"):
            if not running:
                return 400, _error(3, "Unable to terminate operation. No operation is in progress")
            self.phases[name] = "Terminating"
            return 200, {}
        return 200, _application(name, self.phases[name])


def _error(code: int, message: str) -> dict[str, Any]:
    return {"error": message, "code": code, "message": message}


def _application(name: str, phase: str) -> dict[str, Any]:
    status: dict[str, Any] = {"sync": {"status": "Synced", "revision": "a" * 40}, "health": {"status": "Healthy"}}
    if phase:
        status["operationState"] = {"phase": phase}
    return {"metadata": {"name": name}, "status": status}


@contextmanager
def serving(standin: StandIn) -> Iterator[StandIn]:
    """The stand-in on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Stay quiet."""

        def handle_one(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else {}
            standin.asked.append(f"{self.command} {self.path}")
            standin.bodies.append(body)
            token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            standin.seen_tokens.add(token)
            if standin.fault == "hang":
                standin.released.wait(30)
                return
            if standin.fault == "redirect":
                self.send_response(302)
                self.send_header("Location", f"{standin.url}/elsewhere")
                self.end_headers()
                return
            if isinstance(standin.fault, int):
                status, data = standin.fault, _error(13, f"it said {token}")
            elif token != TOKEN:
                status, data = 401, _error(16, "invalid session: token has expired")
            else:
                status, data = standin.answer(self.command, self.path, body)
            raw = json.dumps(data).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw[: len(raw) // 2] if standin.fault == "half" else raw)

        do_GET = do_POST = do_DELETE = handle_one  # noqa: N815 - http.server's names

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    standin.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield standin
    finally:
        standin.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
