"""Websockets: where the page is from, whether there is room, who it is, and which page it wants."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from io import BytesIO
from typing import Any

import structlog
from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from channels.security.websocket import WebsocketDenier
from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from django.db import DatabaseError
from django.http import parse_cookie
from django.urls import re_path
from django.utils.http import is_same_domain
from rest_framework.exceptions import AuthenticationFailed

from accounts.backends import TokenAuthentication
from accounts.standing import Ticket, ticket_of, void_tickets
from annotate.routing import websocket_urlpatterns
from core.addresses import address_of
from core.bridge import in_database_thread
from core.limits import wait_for
from core.metrics import OPEN_SOCKETS, REFUSALS
from core.request_ids import nobodys
from crowd.passes import VisitTicket

log = structlog.get_logger(__name__)

TOO_MANY = 4429  # the page tries again later, with growing pauses
SIGNED_OUT = 4401  # the page comes back as who it is now, and says so
LOOK_EVERY = 2.0

Send = Callable[[dict[str, Any]], Awaitable[None]]


# --- origin ---------------------------------------------------------------------------------------
class OwnPages:
    """Refuse pages of other sites: a browser always says where a page is from.

    A script says nothing, and needs its token or a cookie that it was given, which a page of
    another site cannot make it send. As for a form (CSRF), scheme, host and port must be this
    server's own, or a trusted origin's.
    """

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        headers = dict(scope["headers"])
        origin = headers.get(b"origin")
        is_own = origin is None or _is_own(origin.decode("latin1"), scope)
        # A cookie can spell a NUL, which PostgreSQL has no session by.
        cookies = parse_cookie(headers.get(b"cookie", b"").decode("latin1"))
        if is_own and not any("\0" in value for value in cookies.values()):
            return await self.inner(scope, receive, send)
        return await WebsocketDenier()(scope, receive, send)


def _is_own(origin: str, scope: dict[str, Any]) -> bool:
    scheme = {"ws": "http", "wss": "https"}.get(scope.get("scheme", "ws"), "")
    plain = {"method": "GET", "scheme": scheme, "query_string": b""}
    request = ASGIRequest({**scope, **plain}, BytesIO())
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


# --- room -----------------------------------------------------------------------------------------
class Doorkeeper:
    """Counts sockets, and says what is the matter to whom it cannot take in: a refused handshake
    could not.

    It stands before session and database, so that a crowd at the door costs next to nothing.
    """

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.open: Counter[str] = Counter()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        address = address_of(scope)
        if problem := self._problem(address):
            REFUSALS.labels("socket", "too_many_connections").inc()
            await _turn_away(receive, send, problem)
            return None
        self.open[address] += 1
        OPEN_SOCKETS.inc()
        try:
            return await self.inner(scope, receive, send)
        finally:
            OPEN_SOCKETS.dec()
            self.open[address] -= 1
            if not self.open[address]:
                del self.open[address]

    def _problem(self, address: str) -> str:
        """A sentence for the person, "" when they may come in: then nothing else may run before
        they are counted, or a crowd that comes at once would all find room."""
        if wait_for("connect", address=address):
            return "Too many pages were opened at once where you are."
        if self.open.total() >= settings.SOCKETS:
            log.warning("sockets_full", setting="DADC_SOCKETS", most=settings.SOCKETS)
            return "Too many people are connected right now."
        if self.open[address] >= settings.SOCKETS_PER_ADDRESS:
            log.warning(
                "sockets_full",
                setting="DADC_SOCKETS_PER_ADDRESS",
                most=settings.SOCKETS_PER_ADDRESS,
            )
            return "Too many pages are open where you are."
        return ""


async def _turn_away(receive: Any, send: Any, problem: str) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    message = f"{problem} This page works on without a live connection, and tries again by itself."
    frame = {"type": "error", "code": "too_many_connections", "message": message}
    await send({"type": "websocket.send", "text": json.dumps(frame)})
    await send({"type": "websocket.close", "code": TOO_MANY})


# --- person ---------------------------------------------------------------------------------------
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


_SIGNED_OUT_WORDS = {
    "type": "error",
    "code": "signed_out",
    "message": "You are signed out: sign in again to go on.",
}


class EndWithSignOut:
    """Ends sockets within seconds when their person signs out everywhere or is banned.

    A look at the database every two seconds rather than a message: it also works when the change
    came from a command or from a process that cannot reach this one's memory. Guests have nothing
    to be signed out of.
    """

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self._open: dict[Door, Ticket] = {}
        self._watcher: asyncio.Task[None] | None = None

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Send) -> Any:
        user = scope["user"]
        if not user.is_authenticated:
            return await self.inner(scope, receive, send)
        door = Door(send)
        self._open[door] = ticket_of(
            user,
            session_key=getattr(scope.get("session"), "session_key", None),
            token=scope.get("token"),
        )
        self._watch()
        try:
            return await self.inner(scope, receive, door.send)
        finally:
            del self._open[door]

    def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        if self._watcher is None or self._watcher.done() or self._watcher.get_loop() is not loop:
            self._watcher = loop.create_task(self._look(), context=nobodys())

    async def _look(self) -> None:
        while self._open:
            await asyncio.sleep(LOOK_EVERY)
            try:
                void = await in_database_thread(void_tickets, list(self._open.values()))
            except DatabaseError as error:
                log.warning("standing_not_read", error=type(error).__name__)
                continue
            ended = [door for door, ticket in self._open.items() if ticket in void]
            await asyncio.gather(*(door.shut() for door in ended), return_exceptions=True)


class Door:
    """The way out to one client, which nothing passes any more once it is shut."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._shut = False

    async def send(self, message: dict[str, Any]) -> None:
        if not self._shut:
            await self._send(message)

    async def shut(self) -> None:
        if self._shut:
            return
        self._shut = True  # an answer that is under way would come after the end
        await self._send({"type": "websocket.send", "text": json.dumps(_SIGNED_OUT_WORDS)})
        await self._send({"type": "websocket.close", "code": SIGNED_OUT})


# --- page -----------------------------------------------------------------------------------------
class BelowPath:
    """Take DADC_PATH off an address that begins with it, as Django does for pages."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        if scope["path"].startswith(f"{settings.BASE_PATH}/"):
            scope = {**scope, "root_path": settings.BASE_PATH}
        return await self.inner(scope, receive, send)


_nowhere = re_path("", WebsocketDenier.as_asgi())
_addresses = BelowPath(URLRouter([*websocket_urlpatterns, _nowhere]))
websocket = OwnPages(
    Doorkeeper(AuthMiddlewareStack(TokenUser(VisitTicket(EndWithSignOut(_addresses)))))
)
