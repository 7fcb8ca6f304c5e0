"""A client that does not read what it is sent must not keep memory and a connection for ever."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

PATIENCE = 10.0


class Protocol(WebSocketsSansIOProtocol):
    """uvicorn's websocket, cut off when its client takes nothing in for ten seconds.

    uvicorn lets senders wait while 64 KiB are unsent, and after 40 s without a pong it closes
    politely, which means never: what is unsent must leave first.
    """

    _cut: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._cut is None:
            self._cut = self.loop.call_later(PATIENCE, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stay()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stay()
        super().connection_lost(exc)

    def _stay(self) -> None:
        if self._cut is not None:
            self._cut.cancel()
            self._cut = None
