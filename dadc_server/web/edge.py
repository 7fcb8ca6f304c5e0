"""The edge of the pages and calls: no NUL comes in, no refusal goes out without words, nothing that
one person was answered is kept for another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import structlog
from django.core.exceptions import BadRequest
from django.db import DataError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string

from accounts.backends import PageOutOfDate

log = structlog.get_logger(__name__)

_WORDS = {  # of a call; pages have templates of these names
    400: ("bad_request", "Something in the address, a header or the body is not as it should be."),
    403: ("forbidden", "You may not do this."),
    404: ("not_found", "There is no such thing, or it is not for you."),
    405: ("method_not_allowed", "This address does not take this method."),
    406: ("not_acceptable", "Ask for application/json."),
}
_KEPT = ("Allow", "Retry-After", "WWW-Authenticate")


class Edge:
    """PostgreSQL stores no NUL, so that each view, filter and form would have to refuse it.

    Bytes that are no UTF-8 are U+FFFD by the time they are here, which is a text like any other.
    Bodies of REST calls are read by `dadc_server.web.json_body`.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        try:
            holds_nul = any("\0" in text for text in _texts(request))
        except BadRequest:  # a form that cannot be taken apart
            holds_nul = True
        response = HttpResponse(status=400) if holds_nul else self.get_response(request)
        if response.status_code >= 400 and _lacks_words(request, response):
            response = in_words(request.path_info, response)
        response["Cache-Control"] = "private, no-store"
        return response

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """A number too long for a column is the caller's, wherever a list or a filter meets it."""
        if not isinstance(error, OverflowError | DataError):
            return None
        log.warning("not_in_the_database", error=type(error).__name__, exc_info=error)
        return HttpResponse(status=400)


def _texts(request: HttpRequest) -> Iterator[str]:
    """What of a request may reach a query: its address, its cookies, its form."""
    yield request.path_info
    yield from request.COOKIES.values()
    yield from _fields(request.GET.lists())
    if request.method == "POST" and not is_call(request.path_info):
        yield from _fields(request.POST.lists())


def _fields(lists: Iterable[tuple[str, list[Any]]]) -> Iterator[str]:
    for name, values in lists:
        yield name
        yield from values


def is_call(path: str) -> bool:
    """Whether a program asks: it gets the one shape of errors, a person gets a page."""
    return path.startswith("/api/")


def _lacks_words(request: HttpRequest, response: HttpResponse) -> bool:
    if response.streaming:
        return False
    if is_call(request.path_info):
        return not response.get("Content-Type", "").startswith("application/json")
    return not response.content


def in_words(path: str, wordless: HttpResponse) -> HttpResponse:
    """The same refusal with a sentence, of a page or a call at this address."""
    status = wordless.status_code
    code, message = _WORDS.get(status, _WORDS[400])
    response: HttpResponse
    if is_call(path):
        response = JsonResponse({"error": {"code": code, "message": message}}, status=status)
    else:
        page = f"{status if status in (403, 404, 405) else 400}.html"
        response = HttpResponse(render_to_string(page), status=status)
    for name in _KEPT:
        if name in wordless:
            response[name] = wordless[name]
    return response


def stale_form(request: HttpRequest, **_: object) -> HttpResponse:
    """The project's CSRF_FAILURE_VIEW: a page, or the one shape of errors for a page's script."""
    if "application/json" in request.headers.get("Accept", ""):
        return JsonResponse({"error": PageOutOfDate().as_json()}, status=403)
    return HttpResponse(render_to_string("403_csrf.html"), status=403)
