"""Open websockets end within seconds when their person signs out everywhere or is banned.

A look at the database every two seconds rather than a message: it also works when the change came
from a command or from a process that cannot reach this one's memory.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from django.db import DatabaseError

from accounts.standing import Ticket, ticket_of, void_tickets
from core.bridge import in_database_thread
from core.request_ids import nobodys

log = structlog.get_logger(__name__)

LOOK_EVERY = 2.0
SIGNED_OUT = 4401  # the page comes back as who it is now, and says so
_WORDS = {
    "type": "error",
    "code": "signed_out",
    "message": "You are signed out: sign in again to go on.",
}

Send = Callable[[dict[str, Any]], Awaitable[None]]


class EndWithSignOut:
    """Watches the sockets of signed-in people; guests have nothing to be signed out of."""

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
        await self._send({"type": "websocket.send", "text": json.dumps(_WORDS)})
        await self._send({"type": "websocket.close", "code": SIGNED_OUT})
