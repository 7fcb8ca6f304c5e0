"""Signed entries (JWT, RFC 7519 and 7515, RS256 alone): what a platform vouches for; no Django."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA256

from core import strict_json

LEAST_BITS: Final = 2048


class NotSigned(ValueError):
    """Nobody vouches for this."""


def claims_of(
    token: str, key_named: Callable[[str], Mapping[str, Any] | None], *, issuer: str, host: str
) -> dict[str, Any]:
    """What a token claims, signed by a key (a JWK) of the issuer's, for this host; else NotSigned.

    `exp` is there and a number; whether it is over is the caller's to ask.
    """
    try:
        head, body, signature = token.split(".")
        said, claims = strict_json.loads(_bytes(head)), strict_json.loads(_bytes(body))
        # No other way of signing: of some the key that everybody knows is the secret.
        if said["alg"] != "RS256" or "crit" in said:
            raise NotSigned("another algorithm")
        key = key_named(said["kid"])
        if key is None:
            raise NotSigned("no such key")
        signed = f"{head}.{body}".encode()
        _public(key).verify(_bytes(signature), signed, PKCS1v15(), SHA256())
        audience = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        if claims["iss"] != issuer or host not in map(_host, audience):
            raise NotSigned("by or for somebody else")
        if isinstance(claims["exp"], bool) or not isinstance(claims["exp"], int | float):
            raise NotSigned("without an end")
    except (InvalidSignature, KeyError, TypeError, ValueError, AttributeError) as error:
        raise NotSigned(str(error) or type(error).__name__) from None
    return dict(claims)


def _public(key: Mapping[str, Any]) -> RSAPublicKey:
    if key["kty"] != "RSA" or key.get("use", "sig") != "sig":
        raise NotSigned("a key for something else")
    modulus, exponent = (int.from_bytes(_bytes(key[part]), "big") for part in "ne")
    public = RSAPublicNumbers(exponent, modulus).public_key()
    if public.key_size < LEAST_BITS:
        raise NotSigned("a short key")
    return public


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _host(audience: str) -> str:
    """The host in an address, or in a bare domain."""
    return urlsplit(audience if "//" in audience else f"//{audience}").netloc
