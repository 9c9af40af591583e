"""A stand-in for API servers and for MLflow: real HTTP on loopback, answers from objects that a fixture file lists.

It knows what the tools ask for: lists of a kind in a namespace, one object, API groups, and paths that a test sets.
The proof against a real API server is in tests/e2e.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

# Lists that exist although nothing is in them.
_LISTS = frozenset(
    {
        "jobs",
        "jobsets",
        "pods",
        "events",
        "workloads",
        "applications",
        "nodes",
        "endpointslices",
        "networkpolicies",
        "rolebindings",
    }
)


class StandIn:
    """What one server answers.

    answers: path -> body, before everything else. refused: paths that end in 403. objects: what lists and gets find.
    asked: every request: method, path and headers.
    """

    def __init__(self) -> None:
        self.objects: list[dict[str, Any]] = []
        self.answers: dict[str, Any] = {}
        self.refused: set[str] = set()
        self.status = 0
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.url = ""

    def answer(self, path: str, selector: str = "") -> tuple[int, Any]:
        """Status code and body."""
        if self.status:
            return self.status, {"message": "the stand-in says no"}
        if path in self.refused:
            return 403, {"message": f'User "anna" cannot read {path}'}
        if path in self.answers:
            return 200, self.answers[path]
        for item in self.objects:
            where = _folder(item)
            if path == f"{where}/{item['metadata']['name']}":
                return 200, item
        if kinds := {item["kind"]: _plural(item) for item in self.objects if _group(item) == path}:
            return 200, {"resources": [{"kind": kind, "name": name} for kind, name in kinds.items()]}
        items = [item for item in self.objects if _folder(item) == path and _selected(item, selector)]
        return (200, {"items": items, "metadata": {}}) if items or path.rsplit("/", 1)[1] in _LISTS else (404, {})


def _folder(item: dict[str, Any]) -> str:
    namespace = item["metadata"].get("namespace")
    return f"{_group(item)}/namespaces/{namespace}/{_plural(item)}" if namespace else f"{_group(item)}/{_plural(item)}"


def _group(item: dict[str, Any]) -> str:
    version = item["apiVersion"]
    return f"/apis/{version}" if "/" in version else f"/api/{version}"


def _plural(item: dict[str, Any]) -> str:
    name: str = item["kind"].lower()
    if name.endswith("s"):
        return f"{name}es"
    return f"{name[:-1]}ies" if name.endswith("cy") else f"{name}s"


def _selected(item: dict[str, Any], selector: str) -> bool:
    labels = item["metadata"].get("labels") or {}
    pairs = [pair.partition("=") for pair in selector.split(",") if pair]
    return all(labels.get(key) == value for key, _, value in pairs)


def read(file: Path, **placeholders: str) -> list[dict[str, Any]]:
    """The objects of a fixture file."""
    text = file.read_text()
    for name, value in placeholders.items():
        text = text.replace(name, value)
    return [document for document in yaml.safe_load_all(text) if document]


@contextmanager
def serving(standin: StandIn) -> Iterator[StandIn]:
    """The stand-in on a free port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._serve()

        def do_DELETE(self) -> None:
            self.do_POST()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._serve()

        def _serve(self) -> None:
            standin.asked.append((self.command, self.path, dict(self.headers)))
            parts = urlsplit(self.path)
            code, body = standin.answer(parts.path, parse_qs(parts.query).get("labelSelector", [""])[0])
            data = body if isinstance(body, bytes) else json.dumps(body, default=str).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    standin.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield standin
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def kubeconfig(folder: Path, url: str, **user: Any) -> Path:
    """A kubeconfig whose one context `standin` logs in as given."""
    file = folder / "kubeconfig"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "standin", "cluster": {"server": url}}],
        "users": [{"name": "anna", "user": user or {"token": "a-token"}}],
        "contexts": [{"name": "standin", "context": {"cluster": "standin", "user": "anna"}}],
        "current-context": "standin",
    }
    file.write_text(yaml.safe_dump(content))
    return file
