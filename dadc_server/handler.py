"""How HTTP requests are handled: as Django does, on lent threads; probes before all else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from accounts.bridge import one_thread
from dadc_server.probes import PROBES

MOST_KEPT = 8 << 20  # bytes of an answer; the largest page and static file have less than 2 MiB


class Handler(ASGIHandler):
    """Django's, but for its threads and for probes.

    A request is lent a thread, with its database connection, from when its body is here until its
    answer is made: who sends or reads slowly holds none.

    Probes come over plain HTTP and by a number, `http://10.0.0.5:8000/readyz`, past the proxy: no
    check of host names may refuse them, and none may send them to https. Nothing in their answers
    is made of the name. They wait for no thread.
    """

    async def handle(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if path in PROBES:
            await super().handle(scope, receive, send)
            return
        received = _Received(receive)
        if not await received.all():
            await _refuse(path, send)
            return
        answer = _Answer(send)
        async with one_thread():
            await super().handle(scope, received.again, answer.keep)
        await answer.send()

    def load_middleware(self, is_async: bool = False) -> None:
        """Join the middleware as for WSGI: the thread that a request has been lent runs it all.

        As for ASGI each of them would hop to the thread and back, twice.
        """
        super().load_middleware(is_async=False)

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        if probe := PROBES.get(request.path_info):
            return await probe(request)
        return await sync_to_async(self.get_response, thread_sensitive=True)(request)


class _Received:
    """A request's body, to be received once more, in one piece."""

    def __init__(self, receive: Any) -> None:
        self._receive = receive
        self._messages: list[dict[str, Any]] = []

    async def all(self) -> bool:
        """Wait for the whole body; False when it is larger than any view takes.

        Django would write the rest to the disk, however much it is, before a view sees any of it.
        """
        body = bytearray()  # not a list of its pieces: each may be a byte
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._messages = [message]
                return True
            body += message.get("body", b"")
            if len(body) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
                return False
            if not message.get("more_body", False):
                self._messages = [{"type": "http.request", "body": bytes(body)}]
                return True

    async def again(self) -> dict[str, Any]:
        if self._messages:
            return self._messages.pop()
        message: dict[str, Any] = await self._receive()
        return message


class _Answer:
    """What is to be sent once the thread is given back; of a long stream only its beginning."""

    def __init__(self, send: Any) -> None:
        self._send = send
        self._kept: list[Mapping[str, Any]] = []
        self._size = 0

    async def keep(self, message: Mapping[str, Any]) -> None:
        self._kept.append(message)
        self._size += len(message.get("body", b""))
        if self._size > MOST_KEPT:
            await self.send()

    async def send(self) -> None:
        kept, self._kept = self._kept, []
        for message in kept:
            await self._send(message)


async def _refuse(path: str, send: Any) -> None:
    """Say what nginx says before us (docs/nginx/errors.conf), and read no more of it."""
    most = f"{settings.DATA_UPLOAD_MAX_MEMORY_SIZE >> 20} MB are the most."
    kind, body = "text/plain", f"What was sent is too large: {most}\n"
    if path.startswith("/api/"):
        error = {"code": "too_large", "message": f"The body is too large: {most}"}
        kind, body = "application/json", json.dumps({"error": error})
    headers = [(b"content-type", kind.encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body.encode()})
