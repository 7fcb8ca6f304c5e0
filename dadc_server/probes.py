"""What supervisors, load balancers and Prometheus ask, whatever name they call the server by."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from asgiref.sync import sync_to_async
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
