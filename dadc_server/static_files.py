"""Static files from the web process itself, compressed when it started."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from whitenoise.middleware import WhiteNoiseMiddleware


class StaticFiles(WhiteNoiseMiddleware):
    """WhiteNoise, answering with a file's bytes where it would stream them.

    Under ASGI Django reads a synchronous stream to its end before it sends the first byte, and
    warns of it. The largest that a page asks for, the API page's viewer, has 0.5 MB compressed.
    """

    @staticmethod
    def serve(static_file: Any, request: HttpRequest) -> HttpResponse:
        found = static_file.get_response(request.method, request.META)
        response = HttpResponse(status=int(found.status))
        del response["Content-Type"]
        for name, value in found.headers:
            response[name] = value
        if found.file is not None:
            with found.file as file:
                response.content = file.read()
        return response
