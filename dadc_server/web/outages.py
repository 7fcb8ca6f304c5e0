"""What people and scripts are told while the database is away: that nothing is lost, and when."""

from __future__ import annotations

import sys

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.views.defaults import server_error

from core.outages import is_outage, outage_words

RETRY_SECONDS = 2


def outage_body(error: BaseException | None) -> dict[str, str]:
    """In the API's one shape of errors."""
    return {"code": "unavailable", "message": outage_words(error)}


def failed(request: HttpRequest) -> HttpResponse:
    """The project's handler500: an outage is a 503, for the API in its one shape of errors."""
    error = sys.exc_info()[1]
    if not is_outage(error):
        return server_error(request)
    response: HttpResponse
    if request.path_info.startswith("/api/"):
        response = JsonResponse({"error": outage_body(error)}, status=503)
    else:
        response = HttpResponse(
            render_to_string("503.html", {"words": outage_words(error)}), status=503
        )
    response["Retry-After"] = str(RETRY_SECONDS)
    return response
