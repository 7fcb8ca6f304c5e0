"""What supervisors, load balancers and Prometheus ask, whatever name they call the server by.

`/healthz`: whether the process is alive; `/readyz`: whether it can serve; `/metrics`: from this
machine, or with the token, for the open world learns nothing.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from dadc_server.web import readiness

# A proxy on this machine makes every address look like this machine's, and says whose it is here.
_FORWARDED = ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via")


@never_cache
def alive(_: HttpRequest) -> HttpResponse:
    """Answers while the process does: what a supervisor asks."""
    return HttpResponse("ok\n", content_type="text/plain")


@never_cache
async def ready(_: HttpRequest) -> JsonResponse:
    """200 while this process can do its work, else 503, with what is wrong: for a load balancer."""
    able, report = await readiness.report()
    return JsonResponse(report, status=200 if able else 503)


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """The sum over all processes that `bin/serve` runs here, its background worker included."""
    if not _may_read(request):
        return HttpResponse(
            "Ask from the server's own machine, or with DADC_METRICS_TOKEN as a bearer token.\n",
            status=403,
            content_type="text/plain",
        )
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    registry = REGISTRY
    if folder:
        forget_the_dead(Path(folder))
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=folder)
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _may_read(request: HttpRequest) -> bool:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if settings.METRICS_TOKEN and kind == "Bearer":
        return constant_time_compare(token, settings.METRICS_TOKEN)
    if any(name in request.headers for name in _FORWARDED):
        return False
    try:
        return ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


def forget_the_dead(folder: Path) -> None:
    """Take out what processes that ended said of their present, also of those that were killed.

    What they counted stays.
    """
    for file in folder.glob("gauge_live*.db"):
        if not Path("/proc", file.stem.rpartition("_")[2]).exists() and Path("/proc/self").exists():
            file.unlink(missing_ok=True)


async def _alive(request: HttpRequest) -> HttpResponseBase:
    return alive(request)  # no thread: it answers while all of them wait for a database


PROBES: dict[str, Callable[[HttpRequest], Awaitable[HttpResponseBase]]] = {
    "/healthz": _alive,
    "/readyz": ready,
    "/metrics": sync_to_async(metrics, thread_sensitive=False),
}
