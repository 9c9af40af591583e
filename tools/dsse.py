"""DSSE envelopes (https://github.com/secure-systems-lab/dsse) signed with an ed25519 key, by securesystemslib: in-toto's and TUF's own."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
    load_pem_public_key,
)
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import FormatError, VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey

Signer = CryptoSigner
KEY_ID_SHOWN = 16


def load(file: Path) -> Signer:
    """The private key in a PEM file.

    Raises:
        ValueError: there is none in it, or not an ed25519 one; the message holds nothing of the file.
    """
    try:
        key = load_pem_private_key(file.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise ValueError("no unencrypted private key in PEM; `openssl genpkey -algorithm ed25519` makes one") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(  # noqa: TRY004 - a file's content, not an argument's type
            f"{type(key).__name__}; allowed: ed25519; `openssl genpkey -algorithm ed25519` makes one"
        )
    return CryptoSigner(key, _known(key.public_key()))


def public_key(text: bytes) -> SSlibKey:
    """A public key in PEM, or as the one line of base64 that an environment holds.

    Raises:
        ValueError: it is none, or not an ed25519 one.
    """
    try:
        key = (
            load_pem_public_key(text)
            if b"-----" in text
            else load_der_public_key(base64.b64decode(text, validate=True))
        )
    except (ValueError, TypeError) as error:
        raise ValueError("no public key; `openssl pkey -in key.pem -pubout` prints one") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError(f"{type(key).__name__}; allowed: ed25519")  # noqa: TRY004
    return _known(key)


def envelope(statement: dict[str, Any], payload_type: str, signer: Signer | None) -> dict[str, Any]:
    """The statement in an envelope, signed when there is a signer."""
    payload = json.dumps(statement, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    made = Envelope(payload, payload_type, {})
    if signer is not None:
        made.sign(signer)
    found: dict[str, Any] = made.to_dict()
    return found


def opened(data: bytes) -> Envelope:
    """An envelope as somebody left it.

    Raises:
        ValueError: it is none.
    """
    try:
        return Envelope.from_dict(json.loads(data))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, FormatError) as error:
        raise ValueError("no DSSE envelope") from error


def signed_by(found: Envelope, keys: Sequence[SSlibKey]) -> str:
    """Id of the key, of those given, whose signature is good; empty when there is none."""
    try:
        return next(iter(found.verify([*keys], 1))) if keys else ""
    except VerificationError:
        return ""


def _known(key: Ed25519PublicKey) -> SSlibKey:
    """A key by the SHA-256 of its SubjectPublicKeyInfo, which `openssl pkey -pubin -outform DER | sha256sum` prints too."""
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    found: SSlibKey = SSlibKey.from_crypto(key, keyid=hashlib.sha256(der).hexdigest())
    return found
