"""How HTTP requests are handled: as Django does, on lent threads; probes before all else."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from io import BytesIO
from typing import Any, cast

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core import signals
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.http.response import HttpResponseBase
from django.urls import set_script_prefix

from core.bridge import one_thread
from dadc_server.web.edge import in_words
from dadc_server.web.probes import PROBES


class Handler(ASGIHandler):
    """Django's, but for its threads and for probes.

    A request is lent a thread, with its database connection, from when its body is here until its
    answer is made, and is handled there in one go: who sends or reads slowly holds none. (An answer
    that is made while it is sent holds one; a proxy takes it in for its client.) Django's own goes
    to the thread and back for each of its steps, which costs more than some answers.

    Probes come over plain HTTP and by a number, `http://10.0.0.5:8000/readyz`, past the proxy: no
    check of host names may refuse them, and none may send them to https. Nothing in their answers
    is made of the name. They wait for no thread.

    A response with `sent_at_ticks_of` seconds waits for the next of them after its request was all
    here, and keeps no thread: how long it took to make it shall tell nothing.
    """

    async def handle(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        path = _path(scope)
        if path in PROBES:
            await super().handle(scope, receive, send)
            return
        try:
            body = await _body(receive)
        except RequestAborted:
            return
        if body is None:
            await _refuse(path, send)
            return
        since = time.monotonic()  # not before: who sends the end late would choose what misses one
        async with one_thread():
            response = await sync_to_async(self._respond)(scope, body)
            if response.streaming:  # its parts are made one by one, on the same thread
                await self._stream(response, receive, send)
        if not response.streaming:
            if tick := getattr(response, "sent_at_ticks_of", 0.0):
                await asyncio.sleep(tick - (time.monotonic() - since) % tick)
            await self.send_response(response, send)

    def _respond(self, scope: dict[str, Any], body: bytes) -> HttpResponseBase:
        """Answer on a thread of the database's, as Django's WSGI handler does."""
        set_script_prefix(get_script_prefix(scope))
        signals.request_started.send(sender=self.__class__, scope=scope)
        response: Any
        request, response = self.create_request(scope, BytesIO(body))
        if request is None:  # the query is no UTF-8
            response = in_words(_path(scope), response)
        else:
            response = self.get_response(request)
            match = getattr(request, "resolver_match", None)
            scope["route"] = match.route if match else None
        response._handler_class = self.__class__
        if not response.streaming:
            response.close()
        return cast(HttpResponseBase, response)

    async def _stream(self, response: HttpResponseBase, receive: Any, send: Any) -> None:
        """Send a long answer while it is made, for as long as somebody is there to read it."""
        sending = asyncio.create_task(self.send_response(response, send))
        reading = asyncio.create_task(self.listen_for_disconnect(receive))
        try:
            await asyncio.wait({sending, reading}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (reading, sending):
                task.cancel()
            ended = await asyncio.gather(sending, reading, return_exceptions=True)
            await sync_to_async(response.close)()
        if isinstance(ended[0], Exception):
            raise ended[0]

    def load_middleware(self, is_async: bool = False) -> None:
        """Join the middleware as for WSGI: the thread that a request has been lent runs it all."""
        super().load_middleware(is_async=False)

    async def get_response_async(self, request: Any) -> HttpResponseBase:
        return await PROBES[_path(request.scope)](request)


def _path(scope: Mapping[str, Any]) -> str:
    """The address below where this server lives on its host."""
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))


async def _body(receive: Any) -> bytes | None:
    """A request's body, None when it is larger than any view takes; RequestAborted.

    Django would write the rest to the disk, however much it is, before a view sees any of it.
    """
    body = bytearray()  # not a list of its pieces: each may be a byte
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RequestAborted
        body += message.get("body", b"")
        if len(body) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            return None
        if not message.get("more_body", False):
            return bytes(body)


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
