"""Static files: stored under names that hold their hash, served by the web process itself."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.staticfiles.storage import ManifestFilesMixin
from django.http import HttpRequest, HttpResponse
from whitenoise.middleware import WhiteNoiseMiddleware
from whitenoise.storage import CompressedManifestStaticFilesStorage


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


class StaticStorage(CompressedManifestStaticFilesStorage):
    """Names that hold their hash, so that browsers may keep the files for ever.

    Also rewrites `import … from "./x.js"` to the hashed names, in this project's ES modules.

    In other packages' scripts the rule meets `import(…)` inside comments, takes it for a file that
    is missing, and collectstatic fails.
    """

    patterns: ClassVar = (
        *ManifestFilesMixin.patterns,
        *(
            (ours, ManifestFilesMixin._js_module_import_aggregation_patterns[1])  # type: ignore[attr-defined]
            for ours in ("js/*.js", "kinds/*.js")
        ),
    )
