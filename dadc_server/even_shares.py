"""Web processes that share a listening socket take equal shares of its connections.

Whoever wakes first accepts. After a restart, when every page comes back at once, that is often one
process for all of them, and a websocket stays where it is for hours: half of the machine would do
nothing. So a process that has more connections than another lets that one go first.
"""

from __future__ import annotations

import asyncio
import logging
import mmap
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from uvicorn import Config, Server

log = logging.getLogger(__name__)

MOST_PROCESSES = 64
STALE_SECONDS = 1.0
BOOT_SECONDS = 5.0
# How long others are let go first, for each connection that one has more than they. They may be in
# the middle of a request, or of getting a core.
PAUSE = 0.002
LONGEST_PAUSE = 0.02
FEW_AMONG = 32  # connections: one in so many may be too many
RETRY_SECONDS = 0.2  # after an accept that failed


class Counts:
    """How many connections each process has, in memory that they share: made before they fork.

    Who has not said so for a second is gone, or too busy to accept anything.
    """

    _ROW = struct.Struct("qd")  # how many, and then when: half a row looks old

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, MOST_PROCESSES * self._ROW.size)

    def announce(self) -> int:
        """The row of a process to come, whose share is kept for it while it starts; before the
        fork, in the one process that makes them all."""
        rows = list(self._ROW.iter_unpack(self._memory))
        row = min(range(MOST_PROCESSES), key=lambda row: rows[row][1])  # of one long gone
        self._write(row, 0, time.monotonic() + BOOT_SECONDS)
        return row

    def note(self, row: int, connections: int) -> None:
        self._write(row, connections, time.monotonic())

    def fewest(self) -> int:
        """The least that a process has; 0 when none has noted its own."""
        since = time.monotonic() - STALE_SECONDS
        rows = self._ROW.iter_unpack(self._memory)
        return min((count for count, at in rows if at > since), default=0)

    def _write(self, row: int, connections: int, at: float) -> None:
        self._ROW.pack_into(self._memory, row * self._ROW.size, connections, at)


class EvenServer(Server):
    """uvicorn's server for one of several processes."""

    def __init__(self, config: Config, counts: Counts, row: int) -> None:
        super().__init__(config)
        self._counts, self._row = counts, row
        self._entrances: list[_Entrance] = []
        self.arriving: set[asyncio.Task[None]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=[])
        self._entrances = [_Entrance(listener, self) for listener in sockets or ()]

    async def on_tick(self, counter: int) -> bool:
        self._count()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for entrance in self._entrances:
            entrance.close()
        if self.arriving:  # uvicorn takes leave of those who are in
            await asyncio.wait(self.arriving, timeout=1)
        await super().shutdown(sockets)

    def surplus(self) -> int:
        """How many connections this process has above its share.

        One more than the process with the fewest is none too many, nor are a few among many, or a
        crowd would wait.
        """
        mine = self._count()
        return mine - self._counts.fewest() - 1 - mine // FEW_AMONG

    def _count(self) -> int:
        mine = len(self.server_state.connections) + len(self.arriving)
        self._counts.note(self._row, mine)
        return mine

    def let_in(self, connection: socket.socket) -> None:
        arriving = asyncio.create_task(self._let_in(connection))
        self.arriving.add(arriving)
        arriving.add_done_callback(self.arriving.discard)

    async def _let_in(self, connection: socket.socket) -> None:
        with suppress(OSError):  # gone already
            await asyncio.get_running_loop().connect_accepted_socket(
                self._protocol, connection, ssl=self.config.ssl
            )

    def _protocol(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made


class _Entrance:
    """Accepts from one listening socket until it is closed."""

    def __init__(self, listener: socket.socket, server: EvenServer) -> None:
        self._listener, self._server = listener, server
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        listener.setblocking(False)
        self._open()

    def close(self) -> None:
        self._loop.remove_reader(self._listener)
        if self._pause is not None:
            self._pause.cancel()

    def _open(self) -> None:
        self._loop.add_reader(self._listener, self._knocked)

    def _knocked(self) -> None:
        surplus = self._server.surplus()
        if surplus > 0:
            self._later(min(PAUSE * surplus, LONGEST_PAUSE), self._accept)
        else:
            self._accept()

    def _later(self, seconds: float, call: Callable[[], Any]) -> None:
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
        except OSError:  # no more files may be open, say
            log.warning("nobody_let_in", exc_info=True)
            self._later(RETRY_SECONDS, lambda: None)
            return
        connection.setblocking(False)
        self._server.let_in(connection)
