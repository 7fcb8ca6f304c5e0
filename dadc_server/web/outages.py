"""What people and scripts are told while the database is away: that nothing is lost, and when."""

from __future__ import annotations

import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.views.defaults import server_error

RETRY_SECONDS = 2
BODY = {
    "code": "unavailable",
    "message": "The database does not answer at the moment. What was confirmed is saved: "
    "try again in a few seconds.",
}


def is_outage(error: BaseException | None) -> bool:
    """Whether it failed because the database is away, overloaded or starting again."""
    return isinstance(error, (OperationalError, InterfaceError))


def failed(request: HttpRequest) -> HttpResponse:
    """The project's handler500: an outage is a 503, for the API in its one shape of errors."""
    if not is_outage(sys.exc_info()[1]):
        return server_error(request)
    response: HttpResponse
    if request.path_info.startswith("/api/"):
        response = JsonResponse({"error": BODY}, status=503)
    else:
        response = HttpResponse(render_to_string("503.html"), status=503)
    response["Retry-After"] = str(RETRY_SECONDS)
    return response
