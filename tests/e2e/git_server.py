"""A git server as Argo CD sees GitLab: clones over HTTP, and a webhook that tells of a push.

Only Argo CD reads here; the bot's side of the repository is a folder. Webhooks find an Application by its repository's address,
which has to be one of the schemes that a web page has.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.e2e.argocd import WEBHOOK_SECRET

_NOBODY = "0" * 40


class GitServer:
    """The address of a repository, and what GitLab would say of its pushes."""

    def __init__(self, bare: Path, port: int) -> None:
        self._bare = bare
        self.web_url = f"http://127.0.0.1:{port}/{bare.stem}"
        self.url = f"{self.web_url}.git"

    def tell(self, hook: str, branch: str, before: str, after: str, *, secret: str = WEBHOOK_SECRET) -> None:
        """Post a push event to a webhook, as GitLab does.

        Raises:
            urllib.error.HTTPError: it was refused.
        """
        headers = {"Content-Type": "application/json", "X-Gitlab-Event": "Push Hook", "X-Gitlab-Token": secret}
        data = json.dumps(self._event(branch, before, after)).encode()
        with urllib.request.urlopen(urllib.request.Request(hook, data, headers), timeout=30) as response:
            assert response.status == 200

    def _event(self, branch: str, before: str, after: str) -> dict[str, Any]:
        """https://docs.gitlab.com/user/project/integrations/webhook_events/#push-events, what Argo CD reads of it."""
        listed = self._git("rev-list", "--reverse", "--max-count=20", f"{before}..{after}").split()
        return {
            "object_kind": "push",
            "before": before or _NOBODY,
            "after": after,
            "ref": f"refs/heads/{branch}",
            "project": {"web_url": self.web_url, "default_branch": "main"},
            "commits": [self._commit(commit) for commit in listed],
        }

    def _commit(self, commit: str) -> dict[str, Any]:
        found: dict[str, list[str]] = {"A": [], "M": [], "D": []}
        for line in self._git("diff-tree", "-r", "--no-commit-id", "--name-status", commit).splitlines():
            status, _, path = line.partition("\t")
            found[status].append(path)
        return {"id": commit, "added": found["A"], "modified": found["M"], "removed": found["D"]}

    def _git(self, *arguments: str) -> str:
        command = ["git", "--git-dir", str(self._bare), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@contextmanager
def serving(bare: Path) -> Iterator[GitServer]:
    """Serve a bare repository for reading, on a free port of the loopback address."""

    class Handler(_Handler):
        root = bare.parent

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="git-server")
        thread.start()
        try:
            yield GitServer(bare, server.server_port)
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    """Hands each request to git's own CGI program, git-http-backend(1)."""

    root: Path

    def do_GET(self) -> None:
        """References and objects."""
        self._backend(b"")

    def do_POST(self) -> None:
        """The packs that a client asks for."""
        self._backend(self.rfile.read(int(self.headers["Content-Length"])))

    def _backend(self, body: bytes) -> None:
        path, _, query = self.path.partition("?")
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }
        command = ["git", "http-backend"]
        done = subprocess.run(command, input=body, env=environment, check=True, capture_output=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing: the programs that ask have logs of their own."""
