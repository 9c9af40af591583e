"""Whether a job of our own project asks: GitLab signs each job a token (`id_tokens:`) that names the project and the audience.

docs: https://docs.gitlab.com/ci/secrets/id_token_authentication/
"""

from __future__ import annotations

import threading
import time
from typing import Any

import jwt

from tools.bot.settings import BotSettings

KEEP_KEYS, LEAST_BETWEEN = 3600.0, 30.0  # seconds
LEEWAY = 30  # seconds between the clocks


class Denied(Exception):  # noqa: N818 - the situation's name
    """The token does not let its bearer in; the message says why, never the token."""

    def __init__(self, message: str, status: int = 401) -> None:
        super().__init__(message)
        self.status = status


class Verifier:
    """GitLab's public keys, kept for an hour; an unknown key makes it look again, but not at every attempt."""

    def __init__(self, settings: BotSettings) -> None:
        self._settings = settings
        self._keys: dict[str, Any] = {}
        self._read_at = float("-inf")
        self._lock = threading.Lock()

    def check(self, authorization: str | None) -> None:
        """Let a job of our project pass.

        Raises:
            Denied: no token, not GitLab's, expired, for another audience (401), or of another project (403).
            ForgeAway: GitLab does not give its keys.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Denied("no id token: send `Authorization: Bearer $BOT_ID_TOKEN` with the job's id token")
        try:
            claims = jwt.decode(
                token,
                self._key(str(jwt.get_unverified_header(token).get("kid"))),
                algorithms=["RS256"],
                audience=self._settings.url,
                issuer=self._settings.gitlab.url,
                leeway=LEEWAY,
                options={"require": ["exp", "iat", "aud", "iss"]},
            )
        except jwt.ExpiredSignatureError:
            raise Denied("the id token has expired; the job is too old, run it again") from None
        except jwt.InvalidAudienceError:
            raise Denied(f"the id token is for another service; set its `aud` to {self._settings.url}") from None
        except jwt.PyJWTError as error:
            raise Denied(f"no valid id token of {self._settings.gitlab.url} ({type(error).__name__})") from None
        if str(claims.get("project_id")) != str(self._settings.gitlab.project):
            raise Denied("the job belongs to another project", 403)

    def _key(self, key_id: str) -> Any:
        with self._lock:
            age = time.monotonic() - self._read_at
            if age > KEEP_KEYS or (key_id not in self._keys and age > LEAST_BETWEEN):
                published = self._settings.open_forge().signing_keys()
                self._keys = {str(key.key_id): key.key for key in jwt.PyJWKSet.from_dict(published).keys}
                self._read_at = time.monotonic()
            if key_id not in self._keys:
                raise jwt.InvalidKeyError("unknown key")
            return self._keys[key_id]
