"""Argo CD's API server, as the bot uses it: look at an Application, sync it, end its operation.

API: argoproj/argo-cd, server/application/application.proto. The token is one of the project's role `bot`, read from its file
at each call, so that a rotated one is taken up; it is in no message. The project is named in each request: only then does
Argo CD say that an Application is not there (404) instead of 403.
"""

from __future__ import annotations

import http.client
import json
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.errors import ToolFault

SECONDS = 15.0  # for one answer; a sync is started, not waited for
_MAX_BODY = 8 * 1024 * 1024  # an Application with all its resources has some ten thousand bytes
_MAX_SAID = 200
_CHUNK = 64 * 1024
_UNAUTHORIZED, _FORBIDDEN, _MISSING, _SERVER = 401, 403, 404, 500
_INVALID = frozenset({400, 409, 412})  # gRPC's FailedPrecondition and InvalidArgument, over its gateway
# What asking twice, or a moment too late, gives.
_BUSY = "operation is already in progress"
_IDLE = "no operation is in progress"


class ArgoAway(ToolFault):
    """Argo CD gave no usable answer: the next round tries again."""


class ArgoRefused(ToolFault):
    """Argo CD said no; the message says what a person must change."""


@dataclass(frozen=True, slots=True)
class Application:
    """What Argo CD has of one run. `phase` is the operation's: Running, Terminating, Succeeded, Failed, Error or empty."""

    name: str
    sync: str
    health: str
    phase: str
    revision: str
    deleting: bool

    @property
    def busy(self) -> bool:
        """Whether an operation runs: it blocks the deletion, and a sync."""
        return self.phase in {"Running", "Terminating"}


class ArgoCD:
    """One project of one server. Methods raise ArgoAway and ArgoRefused."""

    def __init__(self, url: str, project: str, token_file: Path, *, seconds: float = SECONDS) -> None:
        self.url = url.rstrip("/")
        self.project = project
        self._token_file = token_file
        self._seconds = seconds
        # Redirects are not followed: the token would go with them.
        handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
        if self.url.startswith("https:"):
            handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context()))
        self._opener = urllib.request.build_opener(*handlers)

    def application(self, name: str) -> Application | None:
        """The Application, None when there is none."""
        found = self._call("GET", name, query={"project": self.project})
        return None if found is None else _application(name, found)

    def sync(self, name: str) -> bool:
        """Start a sync with its hooks; False when there is no Application or an operation runs already.

        The Application's own sync options hold; nothing is pruned, forced or replaced.
        """
        body = {"name": name, "project": self.project, "prune": False, "strategy": {"hook": {"force": False}}}
        return self._call("POST", name, "/sync", body=body, harmless=_BUSY) is not None

    def terminate(self, name: str) -> bool:
        """End the running operation; False when none runs or there is no Application."""
        return self._call("DELETE", name, "/operation", query={"project": self.project}, harmless=_IDLE) is not None

    def _call(
        self,
        method: str,
        name: str,
        action: str = "",
        *,
        query: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
        harmless: str = "",
    ) -> dict[str, Any] | None:
        """The answer as data; None for 404, and for a refusal with the words `harmless` in it."""
        path = f"/api/v1/applications/{urllib.parse.quote(name, safe='')}{action}"
        what = f"{self.url}: {method} of {name}{action}"
        request = urllib.request.Request(  # noqa: S310 - the settings let http and https through, nothing else
            f"{self.url}{path}" + (f"?{urllib.parse.urlencode(query)}" if query else ""),
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._token()}", "Content-Type": "application/json"},
            method=method,
        )
        try:
            with self._opener.open(request, timeout=self._seconds) as answer:
                return _data(_read(answer, time.monotonic() + self._seconds))
        except urllib.error.HTTPError as error:
            status, said = error.code, _said(error)
        except (OSError, http.client.HTTPException, ValueError) as error:
            # The error itself stays out: it may repeat the request with its headers.
            raise ArgoAway(f"{what}: no usable answer ({_kind(error)}); the next round tries again") from None
        if status == _MISSING or (harmless and status in _INVALID and harmless in said.lower()):
            return None
        raise self._refused(what, status, said)

    def _refused(self, what: str, status: int, said: str) -> ToolFault:
        if status >= _SERVER or status == http.client.TOO_MANY_REQUESTS:
            return ArgoAway(f"{what}: HTTP {status}; the next round tries again")
        renew = f"`argocd proj role create-token {self.project} bot` into {self._token_file}"
        remedies = {
            _UNAUTHORIZED: f"the token has expired or is not this server's; {renew}",
            _FORBIDDEN: f"the role `bot` of AppProject {self.project} may not do that; expand the tenant again, then {renew}",
        }
        remedy = remedies.get(status, "look at Argo CD's server log")
        return ArgoRefused(f"{what}: HTTP {status} ({said.replace(self._token(), '***')[:_MAX_SAID]}); {remedy}")

    def _token(self) -> str:
        try:
            return self._token_file.read_text(encoding="ascii").strip()
        except (OSError, ValueError) as error:
            create = f"write one: `argocd proj role create-token {self.project} bot`"
            raise ArgoRefused(f"{self._token_file} holds no token ({_kind(error)}); {create}") from None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_arguments: Any, **_named: Any) -> None:
        """No other address gets the token."""


def _application(name: str, data: dict[str, Any]) -> Application:
    status, metadata = _mapping(data.get("status")), _mapping(data.get("metadata"))
    sync, health = _mapping(status.get("sync")), _mapping(status.get("health"))
    # `operation` is what was asked for and has not been taken up yet.
    phase = str(_mapping(status.get("operationState")).get("phase") or "")
    return Application(
        name=name,
        sync=str(sync.get("status") or ""),
        health=str(health.get("status") or ""),
        phase="Running" if data.get("operation") and phase != "Terminating" else phase,
        revision=str(sync.get("revision") or ""),
        deleting=metadata.get("deletionTimestamp") is not None,
    )


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _read(answer: http.client.HTTPResponse, end: float) -> bytes:
    """The body, with an end to the wait: the socket's limit is for each packet only."""
    raw = bytearray()
    while chunk := answer.read1(_CHUNK):
        raw += chunk
        if len(raw) > _MAX_BODY:
            message = f"over {_MAX_BODY} bytes"
            raise ValueError(message)
        if time.monotonic() > end:
            raise TimeoutError
    return bytes(raw)


def _data(raw: bytes) -> dict[str, Any]:
    data = json.loads(raw)
    if not isinstance(data, dict):
        message = "no object"
        raise ValueError(message)  # noqa: TRY004 - one kind of error for every unusable answer
    return data


def _said(error: urllib.error.HTTPError) -> str:
    """The server's own words, on one line."""
    with error:
        try:
            raw = error.read(_MAX_BODY)
            return " ".join(str(_mapping(json.loads(raw)).get("message") or "").split())
        except (OSError, http.client.HTTPException, ValueError):
            return ""


def _kind(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    return type(reason).__name__ if isinstance(reason, Exception) else type(error).__name__
