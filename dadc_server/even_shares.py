"""Web processes that share a listening socket take equal shares of its connections.

Whoever wakes first accepts. After a restart, when every page comes back at once, that is often one
process for all of them, and a websocket stays where it is for hours: half of the machine would do
nothing. So a process that has more connections than another lets that one go first.
"""

from __future__ import annotations

import asyncio
import mmap
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from uvicorn import Config, Server

MOST_PROCESSES = 64
STALE_SECONDS = 1.0
# How long others are let go first, for each connection that one has more than they. They may be in
# the middle of a request, or of getting a core.
PAUSE = 0.002
LONGEST_PAUSE = 0.02
FEW_AMONG = 32
RETRY_SECONDS = 0.2  # after an accept that failed: no more files may be open, say


class Counts:
    """How many connections each process has, in memory that they share: made before they fork.

    Who has not said so for a second is gone, or too busy to accept anything.
    """

    _ROW = struct.Struct("dq")

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, MOST_PROCESSES * self._ROW.size)

    def note(self, process: int, connections: int) -> None:
        place = process % MOST_PROCESSES * self._ROW.size
        self._ROW.pack_into(self._memory, place, time.monotonic(), connections)

    def fewest(self) -> int:
        """The least that a process has; at least one must have noted its own."""
        since = time.monotonic() - STALE_SECONDS
        return min(count for at, count in self._ROW.iter_unpack(self._memory) if at > since)


class EvenServer(Server):
    """uvicorn's server for one of several processes, the `process`th that was started."""

    def __init__(self, config: Config, counts: Counts, process: int) -> None:
        super().__init__(config)
        self._counts, self._process = counts, process

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=[])
        self.servers.extend(_Entrance(listener, self) for listener in sockets or ())  # type: ignore[misc]

    async def on_tick(self, counter: int) -> bool:
        self.surplus()
        return await super().on_tick(counter)

    def surplus(self, arriving: int = 0) -> int:
        """How many connections this process has more than its share: one more than the process
        with the fewest is none too many, nor are a few among many, or a crowd would wait."""
        mine = len(self.server_state.connections) + arriving
        self._counts.note(self._process, mine)
        return mine - self._counts.fewest() - 1 - mine // FEW_AMONG

    def protocol(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made


class _Entrance:
    """Accepts from one listening socket; to uvicorn it is what asyncio's `create_server` gives."""

    def __init__(self, listener: socket.socket, server: EvenServer) -> None:
        self.sockets = (listener,)
        self._listener, self._server = listener, server
        self._loop = asyncio.get_running_loop()
        self._arriving: set[asyncio.Task[Any]] = set()
        self._pause: asyncio.TimerHandle | None = None
        listener.setblocking(False)
        self._open()

    def close(self) -> None:
        self._loop.remove_reader(self._listener)
        if self._pause is not None:
            self._pause.cancel()

    async def wait_closed(self) -> None:
        """Nothing of it goes on once it is closed."""

    def _open(self) -> None:
        self._loop.add_reader(self._listener, self._knocked)

    def _knocked(self) -> None:
        surplus = self._server.surplus(len(self._arriving))
        if surplus > 0:
            self._later(min(PAUSE * surplus, LONGEST_PAUSE), self._accept)
        else:
            self._accept()

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        def go_on() -> None:
            self._open()
            call()

        self._loop.remove_reader(self._listener)
        self._pause = self._loop.call_later(seconds, go_on)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # somebody else was there, or nobody any more
        except OSError:
            self._later(RETRY_SECONDS, lambda: None)
            return
        arriving = self._loop.create_task(self._let_in(connection))
        self._arriving.add(arriving)
        arriving.add_done_callback(self._arriving.discard)

    async def _let_in(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        if connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(OSError):  # gone already
            await self._loop.connect_accepted_socket(
                self._server.protocol, connection, ssl=self._server.config.ssl
            )
