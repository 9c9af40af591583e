"""The platform bot's answers for the pipeline's jobs: verdicts on commits, and where runs stand.

The bot knows the job by the id token that GitLab signs for it (`id_tokens` in .gitlab-ci.yml): it says which project's job
asks, opens nothing else, and ends with the job. It goes to BOT_URL alone: no redirect is followed.
"""

from __future__ import annotations

import http.client
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

_SECONDS = 20.0
_MOST_BYTES = 8 * 1024 * 1024
_NOT_FOUND = 404
_TOO_MANY = 429
_SERVER_FAULT = 500


class Unusable(Exception):  # noqa: N818 - named by the situation
    """Asking again does not help; the message says what does."""


class Away(Exception):  # noqa: N818 - named by the situation
    """No usable answer now."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: object, **_options: object) -> None:
        """None: the redirect becomes an `HTTPError`."""


class Bot:
    """The bot at one address, asked with one job's id token."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self._token = token
        self._opener = urllib.request.build_opener(_NoRedirect)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Bot:
        """As the job's variables say.

        Raises:
            Unusable: they are not set, or are no address.
        """
        url, token = environment.get("BOT_URL", ""), environment.get("BOT_ID_TOKEN", "")
        if urllib.parse.urlsplit(url).scheme not in {"http", "https"}:
            raise Unusable(
                f"BOT_URL is {url!r}; allowed: the address of `ft bot serve`, https://...; "
                "set it in the project's CI/CD variables (docs/gitlab-setup.md)"
            )
        if not token:
            raise Unusable(
                "the job has no id token; give it `id_tokens: {BOT_ID_TOKEN: {aud: $BOT_URL}}` as .gitlab-ci.yml does"
            )
        return cls(url, token)

    def verdict(self, commit: str) -> dict[str, Any] | None:
        """What the bot decided about a commit of main; None: it has not seen it yet.

        Raises:
            Away: no usable answer now.
            Unusable: it refuses this job.
        """
        return self._get(f"/verdicts/{commit}")

    def run(self, run: str) -> dict[str, Any] | None:
        """Where a run (its full hash) stands; None: the bot does not know it. Raises as `verdict` does."""
        return self._get(f"/runs/{run}")

    def _get(self, path: str) -> dict[str, Any] | None:
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {self._token}"})  # noqa: S310 - http(s), see from_environment
        try:
            with self._opener.open(request, timeout=_SECONDS) as answer:
                content = answer.read(_MOST_BYTES + 1)
        except urllib.error.HTTPError as error:
            with error:
                if error.code == _NOT_FOUND:
                    return None
                raise self._refusal(path, error) from None
        except (OSError, http.client.HTTPException) as error:
            raise Away(f"{self.url} gave no answer ({type(error).__name__})") from None
        return _mapping(content, self.url + path)

    def _refusal(self, path: str, error: urllib.error.HTTPError) -> Away | Unusable:
        if error.code == _TOO_MANY or error.code >= _SERVER_FAULT:
            return Away(f"{self.url}{path} answered {error.code}")
        said = " ".join(error.read(1000).decode("utf-8", "replace").replace(self._token, "***").split())
        return Unusable(
            f"{self.url}{path} answered {error.code}: {said!a}; "
            "`url` and `gitlab.project` in the bot's settings must be BOT_URL and this project (docs/gitlab-setup.md)"
        )


def _mapping(content: bytes, where: str) -> dict[str, Any]:
    try:
        found = json.loads(content) if len(content) <= _MOST_BYTES else None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Away(f"{where} gave no JSON object")
    return found
