"""Pages whose numbers are written once for everybody, and which follow by themselves."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string

from scoring.queries import digest

LIVE: Final = "scoring/parts/live.html"


class Told(NamedTuple):
    """What everybody sees, and what an open page knows it by."""

    html: str
    digest: str


def told(template: str, context: dict[str, Any]) -> Told:
    html = render_to_string(template, context)
    return Told(html, digest(html))


def live(
    request: HttpRequest, page: str, part: str, context: dict[str, Any], known_by: str
) -> HttpResponse:
    """The page; for htmx the part alone, or 204 where the page has it already."""
    if not getattr(request, "htmx", False):
        return render(request, page, context)
    if request.GET.get("digest") == known_by:
        return HttpResponse(status=204)
    return render(request, part, context)
