"""The ASGI side: it checks who asks, writes down what is wanted and answers at once; the workers do the rest."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tools.bot.serve import metrics, webhook
from tools.bot.serve.answers import commit_verdict
from tools.bot.serve.idtokens import Denied, Verifier
from tools.bot.serve.workers import Workers
from tools.bot.settings import BotSettings, secret
from tools.bot.store import Store
from tools.bot.tasks import Tasks
from tools.errors import FtError, UsageError

T = TypeVar("T")
# A description of a million characters and its JSON escapes fit.
MAX_BODY = 8 * 1024 * 1024
BODY_SECONDS = 10.0
GRACE_SECONDS = 20.0


class Service:
    """The routes over one bot's settings."""

    def __init__(self, settings: BotSettings) -> None:
        if settings.gitlab.webhook_secret_file is None:
            raise UsageError("`gitlab.webhook_secret_file` is missing in the bot's settings; serve needs it")
        self._settings = settings
        self._secret = secret(settings.gitlab.webhook_secret_file)
        self._workers = Workers(settings)
        self._verifier = Verifier(settings)
        self._local = threading.local()

    def app(self) -> Starlette:
        """The ASGI application; the workers live as long as it does."""
        routes = [
            Route("/webhook", self.webhook, methods=["POST"]),
            Route("/healthz", self.healthz),
            Route("/metrics", self.metrics),
            Route("/verdicts/{commit}", self.verdicts),
            Route("/runs/{name}", self.runs),
        ]
        return Starlette(routes=routes, lifespan=self._life)

    @asynccontextmanager
    async def _life(self, _app: Starlette) -> AsyncIterator[None]:
        await run_in_threadpool(self._workers.start)
        yield
        await run_in_threadpool(self._workers.stop, GRACE_SECONDS)

    async def webhook(self, request: Request) -> Response:
        """Take an event; the answer says that it is in the queue, durably."""
        if not webhook.is_ours(request.headers.get("x-gitlab-token"), self._secret):
            return _counted(
                "denied", 401, "the X-Gitlab-Token is not the webhook's", "set the secret token of the webhook"
            )
        body = await _body(request)
        if body is None:
            return _counted(
                "too-large", 413, f"the body is over {MAX_BODY} bytes, or too slow", "nothing; the bot looks itself"
            )
        try:
            event = json.loads(body)
            wanted = webhook.wanted(event, self._settings.gitlab.project)
        except (ValueError, RecursionError, TypeError):
            return _counted("malformed", 400, "no event as GitLab documents it", "check what sends to this address")
        if not wanted:
            return _counted("ignored", 200)
        delivery = webhook.delivery(request.headers)
        try:
            new = await run_in_threadpool(lambda: Tasks(self._store()).receive(delivery, wanted))
        except FtError:
            return _counted("failed", 503, "the bot cannot write its queue", "look at the bot's log")
        self._workers.wake()
        return _counted("accepted" if new else "repeated", 202 if new else 200)

    async def healthz(self, _request: Request) -> Response:
        """200 while all workers live and the store can be written."""
        try:
            await run_in_threadpool(lambda: Tasks(self._store()).waiting())
        except FtError as error:
            return JSONResponse({"status": "failing", "error": str(error)}, 503)
        healthy = self._workers.healthy
        return JSONResponse({"status": "ok" if healthy else "failing"}, 200 if healthy else 503)

    async def metrics(self, _request: Request) -> Response:
        """For Prometheus."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def verdicts(self, request: Request) -> Response:
        """What was decided about a commit of main."""
        commit, environments = request.path_params["commit"], self._settings.environments
        return await self._answer(request, lambda: commit_verdict(self._store(), commit, environments))

    async def runs(self, request: Request) -> Response:
        """Where a run stands, by its full hash or its run id."""
        name = request.path_params["name"]
        return await self._answer(request, lambda: self._store().run(name))

    async def _answer(self, request: Request, look: Callable[[], dict[str, Any] | None]) -> Response:
        try:
            await run_in_threadpool(self._verifier.check, request.headers.get("authorization"))
            found = await run_in_threadpool(look)
        except Denied as denied:
            return _error(denied.status, str(denied), "give the job `id_tokens:` with this bot's address as `aud`")
        except FtError as error:
            return _error(503, str(error), "ask again later")
        if found is None:
            return _error(404, "the bot knows nothing of it yet", "ask again later")
        return JSONResponse(found)

    def _store(self) -> Store:
        """One for each thread of the pool."""
        if not hasattr(self._local, "store"):
            self._local.store = self._settings.open_store()
        return self._local.store  # type: ignore[no-any-return]  # threading.local knows no types


async def _body(request: Request) -> bytes | None:
    """The body, unless it is too large or does not end."""
    content = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                content += part
                if len(content) > MAX_BODY:
                    return None
    except (TimeoutError, ClientDisconnect):
        return None
    return bytes(content)


def _counted(result: str, status: int, error: str | None = None, remedy: str = "") -> Response:
    metrics.WEBHOOKS.labels(result).inc()
    return _error(status, error, remedy) if error else JSONResponse({"result": result}, status)


def _error(status: int, error: str, remedy: str) -> Response:
    return JSONResponse({"error": error, "remedy": remedy}, status)
