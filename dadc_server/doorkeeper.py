"""How many websockets a web process holds, in all and from one address; before anybody is known."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import structlog
from django.conf import settings

from core.addresses import address_of
from core.limits import wait_for
from core.metrics import OPEN_SOCKETS, REFUSALS

log = structlog.get_logger(__name__)

TOO_MANY = 4429  # the page tries again later, with growing pauses


class Doorkeeper:
    """Says what is the matter to whom it cannot take in: a refused handshake could not.

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
