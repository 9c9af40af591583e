"""One HTTP session to GitLab with an end to every wait: time limits, size limit, retries that double nothing.

python-gitlab's own retries repeat a POST after a timeout (the comment would be there twice), obey any Retry-After, however
long, and follow redirects with the token in a header.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from typing import Any

import requests
import urllib3.exceptions

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 20.0  # for one request, its whole body included
PATIENCE_SECONDS = 60.0  # for all tries of one request, waiting included
MAX_BODY = 32 * 1024 * 1024
TRIES = 4
_REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_TRANSIENT = frozenset({500, 502, 503, 504, 520, 521, 522, 523, 524})
_CHUNK = 64 * 1024


class NoAnswer(requests.RequestException):
    """No complete answer came: a hang, a broken connection, half a body."""


class TooMany(NoAnswer):
    """GitLab's rate limit asks for a longer wait than the patience; nothing was done."""


class PatientSession(requests.Session):
    """Repeats what is safe to repeat, waits as long as GitLab asks (within the patience), and counts requests."""

    def __init__(
        self,
        answer_seconds: float = ANSWER_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__()
        self.calls = 0
        self._answer_seconds = answer_seconds
        self._patience_seconds = patience_seconds
        self._sleep = sleep

    def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> requests.Response:
        """One request and its retries; the last answer, whatever its status.

        Raises:
            NoAnswer: no complete answer came in any try, or in the only one of a request that must not be repeated.
            TooMany: the rate limit outlasts the patience.
        """
        kwargs.update(stream=True, allow_redirects=False, timeout=(CONNECT_SECONDS, self._answer_seconds))
        end = time.monotonic() + self._patience_seconds
        for tried in range(1, TRIES + 1):
            answer: requests.Response | None = None
            try:
                answer = self._once(str(method), str(url), *args, **kwargs)
            except NoAnswer:
                if tried == TRIES or str(method).upper() not in _REPEATABLE or time.monotonic() > end:
                    raise
            if answer is not None and not _try_again(str(method), answer):
                return answer
            wait = _wait(answer, tried)
            if answer is not None and (tried == TRIES or time.monotonic() + wait > end):
                return _last(answer)
            self._sleep(wait)
        raise AssertionError("the last try returns or raises")

    def _once(self, method: str, url: str, *args: Any, **kwargs: Any) -> requests.Response:
        self.calls += 1
        end = time.monotonic() + self._answer_seconds
        try:
            answer = super().request(method, url, *args, **kwargs)
        except requests.RequestException as error:
            raise NoAnswer(_in_words(error)) from None
        with answer:
            content = _body(answer, end)
            if answer.ok and "json" in answer.headers.get("Content-Type", "") and not _is_json(content):
                raise NoAnswer("the answer is no JSON, or only half of it")
            answer._content = content  # noqa: SLF001 - what requests itself sets when it reads a body
            answer._content_consumed = True  # noqa: SLF001 - same
        return answer


def retry_after(answer: requests.Response) -> float | None:
    """Seconds that the answer asks us to wait (Retry-After in seconds, as GitLab's rate limits give it)."""
    text = answer.headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else None


def _last(answer: requests.Response) -> requests.Response:
    """The answer as it is, but never a 429: python-gitlab would sleep through its Retry-After, however long."""
    if answer.status_code == requests.codes.too_many_requests:
        asked = retry_after(answer)
        raise TooMany(f"HTTP 429, wait {asked:.0f} s" if asked is not None else "HTTP 429")
    return answer


def _try_again(method: str, answer: requests.Response) -> bool:
    if answer.status_code == requests.codes.too_many_requests:
        return True  # refused before anything was done
    return answer.status_code in _TRANSIENT and method.upper() in _REPEATABLE


def _wait(answer: requests.Response | None, tried: int) -> float:
    asked = None if answer is None else retry_after(answer)
    # Not all of the bot's workers at the same moment.
    return asked if asked is not None else 0.2 * 2**tried * random.uniform(0.75, 1.25)  # noqa: S311 - spreads load


def _body(answer: requests.Response, end: float) -> bytes:
    """The whole body; `read1` gives what has come, where requests' own reading waits for a full piece without end."""
    content = bytearray()
    try:
        while part := answer.raw.read1(_CHUNK, decode_content=True):
            content += part
            if len(content) > MAX_BODY:
                raise NoAnswer(f"the answer is over {MAX_BODY // 2**20} MiB")
            if time.monotonic() > end:
                raise NoAnswer("the answer did not end in time")
    except urllib3.exceptions.ReadTimeoutError:
        raise NoAnswer("no answer in time") from None
    except urllib3.exceptions.HTTPError:
        raise NoAnswer("the answer broke off") from None
    return bytes(content)


def _is_json(content: bytes) -> bool:
    try:
        json.loads(content)
    except (ValueError, RecursionError):  # half of it, or brackets without end
        return False
    return True


def _in_words(error: requests.RequestException) -> str:
    """The kind of failure; never requests' own text, which may quote headers and addresses with credentials."""
    if isinstance(error, requests.ConnectTimeout):
        return f"no connection within {CONNECT_SECONDS:.0f} s"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted (REQUESTS_CA_BUNDLE names the bank's authorities)"
    if isinstance(error, requests.ConnectionError):
        return "no connection, or it broke off"
    return type(error).__name__
