"""Devices on which somebody has signed in before: guesses made elsewhere do not stop them."""

from __future__ import annotations

import secrets
from contextlib import suppress
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse

COOKIE: Final = "device"
_SALT: Final = "a device that is known"
_LASTS: Final = timedelta(days=365)


def device_of(request: HttpRequest, account: str) -> str:
    """The device's own name if this account has signed in on it; else empty."""
    with suppress(KeyError, ValueError, signing.BadSignature):
        of, name = signing.loads(request.COOKIES[COOKIE], salt=_SALT, max_age=_LASTS)
        return str(name) if of == account else ""
    return ""


def remember(request: HttpRequest, response: HttpResponse, account: str) -> None:
    """Know the device that answers with this again; it keeps the name that it has."""
    name = device_of(request, account) or secrets.token_urlsafe(12)
    response.set_cookie(
        COOKIE,
        signing.dumps([account, name], salt=_SALT),
        max_age=_LASTS,
        path=settings.SESSION_COOKIE_PATH,
        secure=settings.HTTPS,
        httponly=True,
        samesite="Lax",
    )
