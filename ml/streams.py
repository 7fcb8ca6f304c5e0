"""Answers of a model behind an address, read line by line as they come, on the event loop."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp

from ml.backends import Failed
from ml.remote import CONNECT, MOST_BYTES, Remote, require_well, unanswered


class Streaming(Remote):
    """The same server, at the same address, allowed and led nowhere as before.

    A thread for each stream, woken for each line, would cost several times as much as this does.
    """

    async def lines(
        self, path: str, body: Mapping[str, Any], take: Callable[[bytes], None]
    ) -> None:
        """Hand over each line of an answer; Down or Failed, or what `take` raises."""
        connect = min(CONNECT, self.seconds)
        timeout = aiohttp.ClientTimeout(sock_connect=connect, sock_read=self.seconds)
        try:
            # One connection an answer: they are few and long, and a loop may be any.
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(
                    self._base + path,
                    data=json.dumps(body).encode(),
                    headers=self._headers,
                    allow_redirects=False,
                    server_hostname=self._certified,
                ) as answer,
            ):
                if answer.status != 200:
                    require_well(answer.status, await answer.content.read(MOST_BYTES))
                await _each_line(answer.content, take)
        except (aiohttp.ClientError, OSError) as error:
            raise unanswered(error) from error


async def _each_line(content: aiohttp.StreamReader, take: Callable[[bytes], None]) -> None:
    rest, read = b"", 0
    async for data in content.iter_any():
        read += len(data)
        if read > MOST_BYTES:
            raise Failed("The model's server goes on and on.")
        *whole, rest = (rest + data).split(b"\n")
        for line in whole:
            take(line)
    if rest:
        take(rest)
