"""Answers with a file or a part of it, as a Range asks: a download that broke off goes on."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from releases.archive import OneFile, Tar, of_rounds
from releases.card import readme_of_rounds
from releases.models import Release
from releases.orders import ABOUT

_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
PARTIAL: Final = 206
NOT_SATISFIABLE: Final = 416


def whole(request: HttpRequest, release: Release) -> HttpResponseBase:
    """The release as a tar, `?round=1&round=3` of these rounds."""
    home = release.home
    if home is None or release.frozen_at is None:
        raise Http404
    asked = list(dict.fromkeys(request.GET.getlist("round")))
    rounds = {str(part["round"]): part["round"] for part in release.figures["rounds"]}
    if not rounds.keys() >= set(asked):
        raise Http404
    name, which = f"{release.task.slug}-{release.version}", "-".join(asked)
    there = _files_of(release, home)
    files: dict[str, Path | bytes] = {**there}
    if asked:
        numbers = [rounds[number] for number in asked]
        files = of_rounds(there, numbers)
        text = (home / "README.md").read_text()
        about = json.loads((home / ABOUT).read_text())
        files["README.md"] = readme_of_rounds(about, text, numbers).encode()
    tar = Tar(name, files, release.frozen_at.timestamp())
    name += f"-round-{which}" if asked else ""
    return _answer(request, tar, f"{release.uid}-{which}", f"{name}.tar", "application/x-tar")


def _files_of(release: Release, home: Path) -> dict[str, Path]:
    """What was published, and nothing that came to lie beside it."""
    files = {name: home / name for name in sorted(release.files)}
    return {name: path for name, path in files.items() if path.is_file()}


def one(request: HttpRequest, release: Release, name: str) -> HttpResponseBase:
    """One file by its path within the release."""
    path = _files_of(release, release.home).get(name) if release.home else None
    if path is None:
        raise Http404
    return _answer(
        request, OneFile(path), f"{release.uid}-{name}", path.name, "application/octet-stream"
    )


def _answer(
    request: HttpRequest, content: Tar | OneFile, tag: str, name: str, kind: str
) -> HttpResponseBase:
    asked = _range(request, content.size, f'"{tag}"')
    response: HttpResponseBase
    if asked is None:
        response = HttpResponse(status=NOT_SATISFIABLE)
        response["Content-Range"] = f"bytes */{content.size}"
        return response
    start, end, status = asked
    parts = iter(()) if request.method == "HEAD" else content.read(start, end)
    response = StreamingHttpResponse(_sent(parts), status=status, content_type=kind)
    response["Content-Length"] = str(end - start)
    response["Accept-Ranges"] = "bytes"
    response["ETag"] = f'"{tag}"'
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    if status == PARTIAL:
        response["Content-Range"] = f"bytes {start}-{end - 1}/{content.size}"
    return response


def _range(request: HttpRequest, size: int, tag: str) -> tuple[int, int, int] | None:
    """Which bytes are asked for, and the status; None when there are no such bytes."""
    found = _RANGE.fullmatch(request.headers.get("Range", "").strip())
    if found is None or found[0] == "bytes=-" or request.headers.get("If-Range", tag) != tag:
        return 0, size, 200
    first, last = found[1], found[2]
    if not first:  # the last so many
        return max(0, size - int(last)), size, PARTIAL
    start, end = int(first), min(size, int(last) + 1) if last else size
    return (start, end, PARTIAL) if start < end else None


async def _sent(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Each part read off the event loop."""
    while (part := await asyncio.to_thread(next, parts, None)) is not None:
        yield part
