"""HTTP of the stand-in: keep-alive, faults, tokens, rate limit and pages; `endpoints` says what lies behind the paths.

docs: api/rest/_index.md (status codes, pagination), security/rate_limits.md.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from tests.gitlab import faults
from tests.gitlab.endpoints import respond
from tests.gitlab.wire import Call, Refused, Request, Response

if TYPE_CHECKING:
    from tests.gitlab.standin import GitLab

DEFAULT_PAGE, LARGEST_PAGE = 20, 100
COUNTED = 10_000  # GitLab gives no totals beyond


@dataclass
class RateLimit:
    """At most `requests` in `seconds`."""

    requests: int
    seconds: float
    _times: deque[float] = field(default_factory=deque)

    def wait(self) -> int | None:
        """Seconds to wait, or None when the request may pass."""
        now = time.monotonic()
        while self._times and self._times[0] <= now - self.seconds:
            self._times.popleft()
        if len(self._times) >= self.requests:
            return max(1, round(self._times[0] + self.seconds - now))
        self._times.append(now)
        return None


class Server:
    """A threading HTTP server on 127.0.0.1."""

    def __init__(self, gitlab: GitLab) -> None:
        self._gitlab = gitlab
        self._http: ThreadingHTTPServer | None = None
        self._connections: set[socket.socket] = set()
        self.stopping = threading.Event()

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._http is not None, "start it first"
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def start(self, port: int) -> None:
        """Listen."""
        self.stopping.clear()
        handler = type("Handler", (_Handler,), {"gitlab": self._gitlab, "server_of": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        """Close the port and let hanging requests go."""
        self.stopping.set()
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()


class _Handler(BaseHTTPRequestHandler):
    gitlab: ClassVar[GitLab]
    server_of: ClassVar[Server]
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body in one packet

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the base class's name
        """Nothing on stderr; `GitLab.calls` is the log."""

    def _handle(self) -> None:
        raw = self._read()
        call = Call(self.command, self.path, None, token_in_url="token" in urlsplit(self.path).query.lower())
        met = self.gitlab.faults.of(f"{self.command} {self.path}")
        for fault in met:
            if fault.action is not None and not fault.after:
                fault.action()
        failure = next((fault for fault in met if fault.action is None), None)
        if failure is None or failure.after or failure.what in {faults.HALF, faults.CUT, faults.SHORT, faults.DRIP}:
            response = self._answer(raw, call)
        else:
            response = Response()
        for fault in met:
            if fault.action is not None and fault.after:
                fault.action()
        if failure is not None:
            response = self._fail(failure, response)
        call.status = response.status if response is not None else 0
        self.gitlab.calls.append(call)
        if response is not None:
            self._write(response)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _handle  # noqa: N815 - the base class's names

    def _read(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self, raw: bytes, call: Call) -> Response:
        split = urlsplit(self.path)
        query = {key: values[-1] for key, values in parse_qs(split.query).items()}
        body = json.loads(raw) if raw and "json" in self.headers.get("Content-Type", "") else {}
        request = Request(self.command, unquote_path(split.path), query, body, raw, self.headers, None)
        try:
            limit = self.gitlab.rate_limit.wait() if self.gitlab.rate_limit else None
            if limit is not None:
                return Response({"message": "429 Too Many Requests"}, 429, headers={"Retry-After": str(limit)})
            response = respond(self.gitlab, request, call)
        except Refused as refused:
            return Response({"message": refused.message}, refused.status)
        return self._page(response, request) if isinstance(response.data, list) else response

    def _page(self, response: Response, request: Request) -> Response:
        """docs: api/rest/_index.md, offset-based pagination."""
        size = min(int(request.query.get("per_page", DEFAULT_PAGE)), LARGEST_PAGE)
        page, items = int(request.query.get("page", 1)), response.data
        last = max(1, -(-len(items) // size))
        response.headers |= {"X-Page": str(page), "X-Per-Page": str(size)}
        response.headers["X-Next-Page"] = str(page + 1) if page < last else ""
        if len(items) <= COUNTED:
            response.headers |= {"X-Total": str(len(items)), "X-Total-Pages": str(last)}
        if page < last:
            query = urlencode({**request.query, "page": page + 1, "per_page": size})
            response.headers["Link"] = f'<{self.gitlab.url}{urlsplit(self.path).path}?{query}>; rel="next"'
        response.data = items[(page - 1) * size : page * size]
        return response

    def _fail(self, fault: faults.Fault, response: Response) -> Response | None:
        if fault.what == faults.HANG:
            self.server_of.stopping.wait(120)
        if fault.what in {faults.HANG, faults.DROP}:
            self.close_connection = True
            return None
        if fault.what == faults.SHORT:
            response.data = response.data[:-1]
        elif fault.what == faults.CUT:
            whole = json.dumps(response.data).encode()
            response.content = whole[: len(whole) // 2]
        elif fault.what in {faults.HALF, faults.DRIP}:
            response.headers[f"X-Standin-{fault.what}"] = "1"
        elif fault.what == faults.HTML:
            return Response(content=b"<html>Please sign in</html>", type="text/html")
        else:
            headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
            return Response({"message": f"{fault.what} set by the test"}, int(fault.what), headers=headers)
        return response

    def _write(self, response: Response) -> None:
        content = response.content if response.content is not None else json.dumps(response.data).encode()
        if response.status in {204, 304}:
            content = b""
        self.send_response(response.status)
        for name, value in response.headers.items():
            if not name.startswith("X-Standin"):
                self.send_header(name, value)
        self.send_header("Content-Type", response.type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        try:
            self._send_body(content, response)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _send_body(self, content: bytes, response: Response) -> None:
        if "X-Standin-half" in response.headers:
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            self.close_connection = True
        elif "X-Standin-drip" in response.headers:
            for each in content:
                self.wfile.write(bytes([each]))
                self.wfile.flush()
                if self.server_of.stopping.wait(0.2):
                    return
        elif self.command != "HEAD":
            self.wfile.write(content)


def unquote_path(path: str) -> str:
    """The path with each part unquoted, `%2F` kept: a project's path is one part."""
    return "/".join(unquote(part).replace("/", "%2F") for part in path.split("/"))
