"""Argo CD's notifications controller, and a chat server that people's messages go to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.e2e.argocd import NAMESPACE, ArgoCD
from tests.e2e.cluster import Manifest
from tests.e2e.platform_tree import CHAT
from tests.e2e.processes import free_ports, listening, wait_for

_NAME = "argocd-notifications"
_TOKEN = "of-this-test-run"


@dataclass
class Chat:
    """A chat server with Mattermost's API, as far as Argo CD uses it."""

    said: list[tuple[str, str]] = field(default_factory=list)  # channel and message, in order

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Its URL while it answers."""
        said = self.said

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                """https://api.mattermost.com/#tag/posts/operation/CreatePost."""
                post = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                known = self.path == "/api/v4/posts" and self.headers["Authorization"] == f"Bearer {_TOKEN}"
                if known:
                    said.append((post["channel_id"], post["message"]))
                answer = json.dumps(post | {"id": str(len(said))}).encode()
                self.send_response(201 if known else 401)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, name="chat")
            thread.start()
            try:
                yield f"http://127.0.0.1:{server.server_port}"
            finally:
                server.shutdown()
                thread.join()


@contextmanager
def running(argocd: ArgoCD) -> Iterator[Chat]:
    """The controller with one service to send to, beside the platform's keys of its ConfigMap; both end with the test."""
    chat = Chat()
    with chat.serving() as url:
        key, service = f"service.{CHAT['service']}", f"apiURL: {url}\ntoken: $chat-token\n"
        secret = _object("Secret", "argocd-notifications-secret", stringData={"chat-token": _TOKEN})
        argocd.cluster.apply(secret, _object("ConfigMap", "argocd-notifications-cm", data={key: service}))
        (metrics,) = free_ports(1)
        controller = argocd.start(
            _NAME,
            *("--argocd-repo-server", f"127.0.0.1:{argocd.ports.repository}", "--argocd-repo-server-plaintext"),
            *("--namespace", NAMESPACE, "--metrics-port", str(metrics)),
            KUBECONFIG=argocd.sign_in(f"{_NAME}-controller"),
        )
        try:
            wait_for(lambda: listening(metrics), _NAME, 60, [controller])
            yield chat
        finally:
            controller.stop()
            argocd.cluster.patch("ConfigMap", "argocd-notifications-cm", NAMESPACE, {"data": {key: None}})
            argocd.cluster.delete("Secret", "argocd-notifications-secret", NAMESPACE)


def _object(kind: str, name: str, **content: object) -> Manifest:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}, **content}
