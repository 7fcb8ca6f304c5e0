"""Whether the process is alive, and whether it can serve."""

from __future__ import annotations

from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache


@never_cache
def alive(_: HttpRequest) -> HttpResponse:
    """Answers while the process does: what a supervisor asks."""
    return HttpResponse("ok\n", content_type="text/plain")


@never_cache
def ready(_: HttpRequest) -> JsonResponse:
    """200 when the database answers, else 503: what a load balancer asks."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return JsonResponse({"database": "unreachable"}, status=503)
    return JsonResponse({"database": "ok"})
