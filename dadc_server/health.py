"""Whether the process is alive, and whether it can serve."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache

from dadc_server import readiness


@never_cache
def alive(_: HttpRequest) -> HttpResponse:
    """Answers while the process does: what a supervisor asks."""
    return HttpResponse("ok\n", content_type="text/plain")


@never_cache
async def ready(_: HttpRequest) -> JsonResponse:
    """200 while this process can do its work, else 503, with what is wrong: for a load balancer."""
    able, report = await readiness.report()
    return JsonResponse(report, status=200 if able else 503)
