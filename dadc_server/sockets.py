"""Websockets: origin first, then who it is (session cookie or token), then which page."""

from __future__ import annotations

from typing import Any

from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from channels.security.websocket import OriginValidator
from django.conf import settings
from rest_framework.exceptions import AuthenticationFailed

from accounts.backends import TokenAuthentication
from accounts.bridge import in_database_thread
from annotate.routing import websocket_urlpatterns


class TokenUser:
    """Let a script open a socket with the same `Authorization: Token …` header as over REST."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        header = dict(scope["headers"]).get(b"authorization", b"")
        kind, _, token = header.partition(b" ")
        if kind.lower() == b"token" and token:
            try:
                user, _ = await in_database_thread(
                    TokenAuthentication().authenticate_credentials, token.strip()
                )
            except AuthenticationFailed:
                await send({"type": "websocket.close", "code": 4401})
                return None
            scope = {**scope, "user": user}
        return await self.inner(scope, receive, send)


class OwnPages(OriginValidator):
    """Refuse pages of other sites: a browser always says where a page is from.

    A script says nothing, and needs its token or a cookie that it was given, which a page of
    another site cannot make it send.
    """

    def valid_origin(self, parsed_origin: Any) -> bool:
        return parsed_origin is None or super().valid_origin(parsed_origin)


class BelowPath:
    """Take DADC_PATH off an address that begins with it, as Django does for pages."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        if scope["path"].startswith(f"{settings.BASE_PATH}/"):
            scope = {**scope, "root_path": settings.BASE_PATH}
        return await self.inner(scope, receive, send)


_pages = AuthMiddlewareStack(TokenUser(BelowPath(URLRouter(websocket_urlpatterns))))
websocket = OwnPages(_pages, [*settings.ALLOWED_HOSTS, *settings.CSRF_TRUSTED_ORIGINS])
