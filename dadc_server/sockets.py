"""Websockets: origin first, then who it is (session cookie or token), then which page."""

from __future__ import annotations

from contextlib import suppress
from io import BytesIO
from typing import Any

from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from channels.security.websocket import WebsocketDenier
from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from django.utils.http import is_same_domain
from rest_framework.exceptions import AuthenticationFailed

from accounts.backends import TokenAuthentication
from annotate.routing import websocket_urlpatterns
from core.bridge import in_database_thread
from dadc_server.doorkeeper import Doorkeeper
from dadc_server.sign_outs import EndWithSignOut


class TokenUser:
    """Let a script open a socket with the same `Authorization: Token …` header as over REST."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        header = dict(scope["headers"]).get(b"authorization", b"")
        kind, _, token = header.partition(b" ")
        if kind.lower() == b"token" and token:
            try:
                user, found = await in_database_thread(
                    TokenAuthentication().authenticate_credentials, token.strip()
                )
            except AuthenticationFailed:
                await send({"type": "websocket.close", "code": 4401})
                return None
            scope = {**scope, "user": user, "token": found.digest}
        return await self.inner(scope, receive, send)


class OwnPages:
    """Refuse pages of other sites: a browser always says where a page is from.

    A script says nothing, and needs its token or a cookie that it was given, which a page of
    another site cannot make it send. As for a form (CSRF), scheme, host and port must be this
    server's own, or a trusted origin's.
    """

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        origin = dict(scope["headers"]).get(b"origin")
        if origin is None or _is_own(origin.decode("latin1"), scope):
            return await self.inner(scope, receive, send)
        return await WebsocketDenier()(scope, receive, send)


def _is_own(origin: str, scope: dict[str, Any]) -> bool:
    scheme = {"ws": "http", "wss": "https"}.get(scope.get("scheme", "ws"), "")
    request = ASGIRequest({**scope, "method": "GET", "scheme": scheme}, BytesIO())
    with suppress(DisallowedHost):
        if origin == f"{request.scheme}://{request.get_host()}":
            return True
    return any(_is_trusted(origin, trusted) for trusted in settings.CSRF_TRUSTED_ORIGINS)


def _is_trusted(origin: str, trusted: str) -> bool:
    if "*" not in trusted:
        return origin == trusted
    scheme, _, host = origin.partition("://")
    wanted_scheme, _, pattern = trusted.partition("://")
    return scheme == wanted_scheme and is_same_domain(host, pattern.lstrip("*"))


class BelowPath:
    """Take DADC_PATH off an address that begins with it, as Django does for pages."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        if scope["path"].startswith(f"{settings.BASE_PATH}/"):
            scope = {**scope, "root_path": settings.BASE_PATH}
        return await self.inner(scope, receive, send)


_addresses = BelowPath(URLRouter(websocket_urlpatterns))
websocket = OwnPages(Doorkeeper(AuthMiddlewareStack(TokenUser(EndWithSignOut(_addresses)))))
