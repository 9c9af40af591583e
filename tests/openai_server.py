"""A small server that speaks vLLM's OpenAI-compatible API over real HTTP: names, paths and answers are a test's."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Served:
    """What the server says. models: name -> root. answers: prompt -> answer. keys: what it was sent as the key."""

    models: dict[str, str] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    key: str | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""


@contextmanager
def serving(served: Served) -> Iterator[Served]:
    """The server, on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            entries = [{"id": name, "object": "model", "root": root} for name, root in served.models.items()]
            self._answer({"object": "list", "data": entries} if self.path == "/v1/models" else None)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            served.asked.append(body)
            text = served.answers.get(body["messages"][-1]["content"], "")
            message = {"choices": [{"message": {"role": "assistant", "content": text}}]}
            self._answer(message if body["model"] in served.models else None)

        def _answer(self, body: dict[str, Any] | None) -> None:
            denied = served.key is not None and self.headers.get("Authorization") != f"Bearer {served.key}"
            self.send_response(401 if denied else 200 if body is not None else 404)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps({} if denied else body or {}).encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
