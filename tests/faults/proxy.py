"""An HTTP server between the runner and MLflow that misbehaves on command."""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class Proxy(ThreadingHTTPServer):
    """mode: pass; hang (no answer); refuse (connection closed at once); 500, 429, 400 (a page instead of an answer);
    lose-answer (MLflow does what it is asked, the answer never arrives).
    """  # noqa: D205

    daemon_threads = True

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.mode = "pass"
        self.seen: Counter[str] = Counter()
        self.target = urlsplit(target).netloc
        self.released = threading.Event()

    @property
    def uri(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that gave up is no fault here."""


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Proxy

    def _serve(self) -> None:
        mode = self.server.mode
        self.server.seen[mode] += 1
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if mode == "hang":
            self.server.released.wait()
        elif mode.isdigit():
            self._page(int(mode))
        elif mode in ("pass", "lose-answer"):
            self._forward(body, answer=mode == "pass")
        self.close_connection = True

    do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815

    def _page(self, status: int) -> None:
        page = b"<html>not today</html>"
        self.send_response(status)
        if status == http.client.TOO_MANY_REQUESTS:
            self.send_header("Retry-After", "1")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def _forward(self, body: bytes, *, answer: bool) -> None:
        connection = http.client.HTTPConnection(self.server.target, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
        connection.request(self.command, self.path, body, headers)
        response = connection.getresponse()
        content = response.read()
        if answer:
            self.send_response(response.status)
            self.send_header("Content-Type", response.headers.get("Content-Type", "application/json"))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def between(target: str) -> Iterator[Proxy]:
    """Serving while this is open."""
    made = Proxy(target)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.released.set()
        made.shutdown()
        made.server_close()
