"""What supervisors, load balancers and Prometheus ask, whatever name they call the server by."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from dadc_server import health
from dadc_server.metrics_page import metrics


async def _alive(request: HttpRequest) -> HttpResponseBase:
    return health.alive(request)  # no thread: it answers while all of them wait for a database


PROBES: dict[str, Callable[[HttpRequest], Awaitable[HttpResponseBase]]] = {
    "/healthz": _alive,
    "/readyz": health.ready,
    "/metrics": sync_to_async(metrics, thread_sensitive=False),
}


class Handler(ASGIHandler):
    """Django's, which answers probes before any middleware.

    They come over plain HTTP and by a number, `http://10.0.0.5:8000/readyz`, past the proxy: no
    check of host names may refuse them, and none may send them to https. Nothing in their answers
    is made of the name.
    """

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        if probe := PROBES.get(request.path_info):
            return await probe(request)
        return await super().get_response_async(request)
