"""An image registry for one node: what an OCI layout holds, by digest, for reading only (OCI distribution specification)."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_ASKED = re.compile(r"/v2/.+/(manifests|blobs)/sha256:([0-9a-f]{64})")


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, layout: Path, *arguments: object) -> None:
        self._layout = layout
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        asked = _ASKED.fullmatch(self.path.partition("?")[0])
        file = self._layout / "blobs" / "sha256" / asked[2] if asked else None
        if asked is None or file is None or not file.exists():
            self.send_error(404)
            return
        kind = "application/octet-stream"
        if asked[1] == "manifests":
            kind = json.loads(file.read_bytes())["mediaType"]
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(file.stat().st_size))
        self.send_header("Docker-Content-Digest", f"sha256:{asked[2]}")
        self.end_headers()
        if body:
            with file.open("rb") as stream:
                self.connection.sendfile(stream)

    def log_message(self, *_: object) -> None:
        """The node's own log says what it pulls."""


@contextmanager
def serving(layout: Path) -> Iterator[str]:
    """Serve it on a free port of the loopback address; gives the URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, layout))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
