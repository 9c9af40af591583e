"""The tokens that GitLab gives its jobs (`id_tokens:`), signed with a key that it publishes.

docs: ci/secrets/id_token_authentication.md, token payload.
"""

from __future__ import annotations

import json
import time
import uuid
from functools import cached_property
from typing import Any

from tests.gitlab.model import Account, Project


class Issuer:
    """One RSA key, made when the first token is wanted."""

    key_id = "standin-key"

    @cached_property
    def _key(self) -> Any:
        from cryptography.hazmat.primitives.asymmetric import rsa

        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def keys(self) -> dict[str, Any]:
        """What /oauth/discovery/keys answers."""
        from jwt.algorithms import RSAAlgorithm

        public = json.loads(RSAAlgorithm.to_jwk(self._key.public_key()))
        return {"keys": [{**public, "kid": self.key_id, "use": "sig", "alg": "RS256"}]}

    def token(self, issuer: str, project: Project, account: Account, audience: str, **claims: Any) -> str:
        """A job's token; `claims` replaces any of its fields."""
        import jwt

        now = int(time.time())
        payload = {
            "iss": issuer,
            "aud": audience,
            "sub": f"project_path:{project.path}:ref_type:branch:ref:main",
            "iat": now,
            "nbf": now - 5,
            "exp": now + 300,
            "jti": str(uuid.uuid4()),
            "project_id": str(project.id),
            "project_path": project.path,
            "user_id": str(account.id),
            "user_login": account.username,
            "pipeline_id": "1",
            "job_id": "1",
            "ref": "main",
            "ref_type": "branch",
            "ref_path": "refs/heads/main",
            "ref_protected": "true",
            **claims,
        }
        return jwt.encode(payload, self._key, algorithm="RS256", headers={"kid": self.key_id})
