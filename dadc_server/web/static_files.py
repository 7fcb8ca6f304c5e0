"""Static files: stored under names that hold their hash, served by the web process itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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

    # A pass for each link of the longest chain of imports, in the worst order of the file system;
    # it ends by itself where nothing changes. Django's own 5 are fewer than our modules take.
    max_post_process_passes: ClassVar = 50

    patterns: ClassVar = (
        *ManifestFilesMixin.patterns,
        *(
            (ours, ManifestFilesMixin._js_module_import_aggregation_patterns[1])  # type: ignore[attr-defined]
            for ours in ("js/*.js", "kinds/*.js")
        ),
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._addresses: dict[str, str] = {}

    def url(self, name: str | None, force: bool = False) -> str:
        """Worked out once a file, 30 µs each, of which a page has up to sixteen; none but our pages
        name them."""
        if name is None or force:
            return str(super().url(name, force))
        if name not in self._addresses:
            self._addresses[name] = str(super().url(name))
        return self._addresses[name]

    def post_process(self, paths: Mapping[str, Any], *args: Any, **options: Any) -> Iterator[Any]:
        """Where a folder is served under a prefix, Django meets the rules with names inside it:
        `kinds/*.js` would meet none, and pages would get two copies of what both import."""
        named = {name: (_File(*found), name) for name, found in paths.items()}
        yield from super().post_process(named, *args, **options)
        self._addresses.clear()


class _File:
    """A file of a folder, opened by whatever name."""

    def __init__(self, storage: Any, path: str) -> None:
        self._storage, self._path = storage, path

    def open(self, _: str) -> Any:
        return self._storage.open(self._path)
