"""How HTTP requests are handled: as Django does, on lent threads; probes before all else."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from accounts.bridge import one_thread
from dadc_server.probes import PROBES


class Handler(ASGIHandler):
    """Django's, but for its threads and for probes.

    A request is lent a thread, with its database connection, once its body is here: who sends
    slowly holds none.

    Probes come over plain HTTP and by a number, `http://10.0.0.5:8000/readyz`, past the proxy: no
    check of host names may refuse them, and none may send them to https. Nothing in their answers
    is made of the name. They wait for no thread.
    """

    async def handle(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["path"].removeprefix(scope.get("root_path", "")) in PROBES:
            await super().handle(scope, receive, send)
            return
        received = await _Received.of(receive)
        async with one_thread():
            await super().handle(scope, received.again, send)

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        if probe := PROBES.get(request.path_info):
            return await probe(request)
        return await super().get_response_async(request)


class _Received:
    """The messages of a request's body, to be received once more."""

    def __init__(self, receive: Any) -> None:
        self._receive = receive
        self._messages: list[dict[str, Any]] = []

    @classmethod
    async def of(cls, receive: Any) -> _Received:
        """Wait for the whole body, or for more of it than any view takes."""
        received, size = cls(receive), 0
        while size <= settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            message = await receive()
            received._messages.append(message)
            size += len(message.get("body", b""))
            if message["type"] == "http.disconnect" or not message.get("more_body", False):
                break
        received._messages.reverse()
        return received

    async def again(self) -> dict[str, Any]:
        if self._messages:
            return self._messages.pop()
        message: dict[str, Any] = await self._receive()
        return message
