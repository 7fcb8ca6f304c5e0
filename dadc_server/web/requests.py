"""Around every request and websocket: its id, its time, and one line in the log when it ends."""

from __future__ import annotations

import time
from typing import Any

import structlog
from django.conf import settings
from django.urls import Resolver404, resolve

from core import request_ids
from core.metrics import REQUEST_SECONDS

log = structlog.get_logger("dadc_server.requests")  # a name that operators look for

# Asked every few seconds by machines, or by every page many times.
_UNSAID = ("/healthz", "/readyz", "/metrics")


class Requests:
    """The outermost application; adds the id to the answer as X-Request-ID."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        if scope["type"] not in ("http", "websocket"):
            return await self.inner(scope, receive, send)
        structlog.contextvars.clear_contextvars()
        request_id = request_ids.begin(dict(scope["headers"]).get(request_ids.HEADER))
        answer = _Answer(send, request_id)
        began = time.perf_counter()
        try:
            return await self.inner(scope, receive, answer.send)
        finally:
            _note(scope, answer.status, time.perf_counter() - began)


class _Answer:
    def __init__(self, send: Any, request_id: str) -> None:
        self._send = send
        self._header = (request_ids.HEADER, request_id.encode())
        self.status = 0

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] in ("http.response.start", "websocket.accept"):
            self.status = message.get("status", 101)
            message = {**message, "headers": [*message.get("headers", ()), self._header]}
        elif message["type"] == "websocket.close":
            self.status = message.get("code", 1000) if self.status else 403
        await self._send(message)


def _note(scope: dict[str, Any], status: int, seconds: float) -> None:
    path = scope["path"].removeprefix(settings.BASE_PATH)
    if scope["type"] == "http":
        REQUEST_SECONDS.labels(str(status)).observe(seconds)
    if path in _UNSAID or scope["path"].startswith(settings.STATIC_URL):
        return
    log.info(
        "request" if scope["type"] == "http" else "socket",
        method=scope.get("method"),
        route=_route(scope, path),
        status=status,
        ms=round(seconds * 1000, 1),
    )


def _route(scope: dict[str, Any], path: str) -> str:
    """The pattern of an address, never the address: it may hold the key of a new password."""
    if path.startswith("/ws/"):
        return "ws"
    if route := scope.get("route"):  # the handler had to find it
        return str(route)
    try:
        return resolve(path).route
    except Resolver404:
        return "?"
