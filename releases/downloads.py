"""Answers with a file or a part of it, as a Range asks: a download that broke off goes on."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Collection, Iterator
from pathlib import Path
from typing import Final

from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from releases.archive import OneFile, Tar, of_rounds
from releases.card import readme_of_rounds
from releases.models import Release
from releases.orders import ABOUT

README: Final = "README.md"
BYTES: Final = "application/octet-stream"
_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
PARTIAL: Final = 206
NOT_SATISFIABLE: Final = 416


def whole(request: HttpRequest, release: Release) -> HttpResponseBase:
    """The release as a tar, `?round=1&round=3` of these rounds."""
    home = release.home
    if home is None or release.frozen_at is None:
        raise Http404
    numbers = _rounds(request, release)
    name, which = f"{release.task.slug}-{release.version}", "-".join(map(str, numbers))
    there = _files_of(release, home)
    files: dict[str, Path | bytes] = {**there}
    if numbers:
        files = {**of_rounds(there, numbers), README: _readme(home, numbers)}
    tar = Tar(name, files, release.frozen_at.timestamp())
    name += f"-round-{which}" if numbers else ""
    return _answer(request, tar, f"{release.uid}-{which}", f"{name}.tar", "application/x-tar")


def _rounds(request: HttpRequest, release: Release) -> list[int]:
    """Those that are asked for, each once; none: all of them. Http404 where one is none of its."""
    asked = dict.fromkeys(request.GET.getlist("round"))
    there = {str(part["round"]): part["round"] for part in release.figures["rounds"]}
    if not there.keys() >= asked.keys():
        raise Http404
    return [there[number] for number in asked]


def _readme(home: Path, numbers: Collection[int]) -> bytes:
    """Of whoever takes these rounds alone."""
    about = json.loads((home / ABOUT).read_text())
    return readme_of_rounds(about, (home / README).read_text(), numbers).encode()


def _files_of(release: Release, home: Path) -> dict[str, Path]:
    """What was published, and nothing that came to lie beside it."""
    files = {name: home / name for name in sorted(release.files)}
    return {name: path for name, path in files.items() if path.is_file()}


def one(request: HttpRequest, release: Release, name: str) -> HttpResponseBase:
    """One file by its path within the release; README.md with `?round=1&round=3` is that of whoever
    takes these rounds alone."""
    path = _files_of(release, release.home).get(name) if release.home else None
    if path is None or release.home is None:
        raise Http404
    if name == README and (numbers := _rounds(request, release)):
        return HttpResponse(_readme(release.home, numbers), BYTES)
    return _answer(request, OneFile(path), f"{release.uid}-{name}", path.name, BYTES)


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
