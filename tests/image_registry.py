"""An image registry that takes pushes, in memory: what buildah, skopeo and syft need of it (OCI distribution specification)."""

from __future__ import annotations

import hashlib
import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_UPLOADS = re.compile(r"/v2/(.+)/blobs/uploads/([\w-]*)")
_BLOB = re.compile(r"/v2/(.+)/blobs/(sha256:[0-9a-f]{64})")
_MANIFEST = re.compile(r"/v2/(.+)/manifests/([\w.:-]+)")


class Registry(ThreadingHTTPServer):
    """`pushed`: manifests by name and tag or digest; `host`: what stands before the image's name."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.blobs: dict[str, bytes] = {}
        self.uploads: dict[str, bytes] = {}
        self.pushed: dict[tuple[str, str], tuple[str, bytes]] = {}

    @property
    def host(self) -> str:
        """Address and port."""
        return f"127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Registry
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/v2/":
            self._answer(200)
        elif match := _MANIFEST.fullmatch(path):
            found = self.server.pushed.get((match[1], match[2]))
            if found is None:
                self._answer(404, b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}')
            else:
                digest = f"sha256:{hashlib.sha256(found[1]).hexdigest()}"
                self._answer(200, found[1], {"Content-Type": found[0], "Docker-Content-Digest": digest})
        elif (match := _BLOB.fullmatch(path)) and match[2] in self.server.blobs:
            self._answer(200, self.server.blobs[match[2]], {"Docker-Content-Digest": match[2]})
        else:
            self._answer(404)

    do_HEAD = do_GET  # noqa: N815 - the name that the base class calls

    def do_POST(self) -> None:
        self._body()
        match = _UPLOADS.fullmatch(self.path.partition("?")[0])
        assert match is not None, self.path
        number = str(uuid.uuid4())
        self.server.uploads[number] = b""
        self._answer(202, headers={"Location": f"/v2/{match[1]}/blobs/uploads/{number}", "Range": "0-0"})

    def do_PATCH(self) -> None:
        match = _UPLOADS.fullmatch(self.path.partition("?")[0])
        assert match is not None, self.path
        self.server.uploads[match[2]] += self._body()
        end = max(0, len(self.server.uploads[match[2]]) - 1)
        self._answer(202, headers={"Location": self.path, "Range": f"0-{end}"})

    def do_PUT(self) -> None:
        body, path = self._body(), self.path.partition("?")[0]
        if match := _MANIFEST.fullmatch(path):
            digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
            for reference in (match[2], digest):
                self.server.pushed[(match[1], reference)] = (self.headers["Content-Type"], body)
        else:
            match = _UPLOADS.fullmatch(path)
            assert match is not None, path
            content = self.server.uploads.pop(match[2]) + body
            digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
            self.server.blobs[digest] = content
        self._answer(201, headers={"Location": path, "Docker-Content-Digest": digest})

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        content = b""
        while size := int(self.rfile.readline().strip() or b"0", 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return content

    def _answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


@contextmanager
def registry() -> Iterator[Registry]:
    """The registry while the block runs."""
    with Registry() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
