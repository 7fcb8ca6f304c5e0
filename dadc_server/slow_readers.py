"""A client that does not read what it is sent must not keep memory and a connection for ever."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

PATIENCE = 10.0
PATIENCE_WITH_PAGES = 30.0  # a page over a poor line is slow, and wanted


class _CutOff(asyncio.Protocol):
    """Cut off when the client takes nothing in for so long.

    uvicorn lets senders wait while 64 KiB are unsent, for ever over HTTP; after 40 s without a pong
    it closes a websocket politely, which means never: what is unsent must leave first.
    """

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    _cut: asyncio.TimerHandle | None = None

    def patience(self) -> float:
        raise NotImplementedError

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._cut is None:
            self._cut = self.loop.call_later(self.patience(), self.transport.abort)

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


class Protocol(_CutOff, WebSocketsSansIOProtocol):
    """uvicorn's websocket, cut off when its client takes nothing in for ten seconds."""

    def patience(self) -> float:
        return PATIENCE


class Http(_CutOff, HttpToolsProtocol):
    """uvicorn's HTTP, cut off when its client takes nothing in for half a minute."""

    def patience(self) -> float:
        return PATIENCE_WITH_PAGES
