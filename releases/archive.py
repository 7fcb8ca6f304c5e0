"""A folder as one tar file that is never written: any part of it can be read, so downloads resume.

A tar is headers and contents one after the other, each filled up to 512 bytes. With the names and
sizes known, so is where each begins. No Django.
"""

from __future__ import annotations

import tarfile
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

BLOCK: Final = 512
PIECE: Final = 1 << 18


class Tar:
    """The files by their names in the archive, below `home`; the same bytes as long as they are."""

    def __init__(self, home: str, files: Mapping[str, Path | bytes], made_at: float) -> None:
        self._parts: list[tuple[bytes, Path | None, int]] = []
        self._starts: list[int] = []
        self.size = 0
        for name, file in files.items():
            entry = tarfile.TarInfo(f"{home}/{name}")
            entry.size = len(file) if isinstance(file, bytes) else file.stat().st_size
            entry.mode, entry.mtime = 0o644, int(made_at)
            self._add(entry.tobuf(tarfile.PAX_FORMAT))
            if isinstance(file, bytes):
                self._add(file)
            else:
                self._add(b"", file, entry.size)
            self._add(b"\0" * (-entry.size % BLOCK))
        self._add(b"\0" * (2 * BLOCK))

    def _add(self, data: bytes, path: Path | None = None, size: int | None = None) -> None:
        size = len(data) if size is None else size
        if size:
            self._starts.append(self.size)
            self._parts.append((data, path, size))
            self.size += size

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """Its bytes from `start` up to `end`, which is left out."""
        at = start
        while at < end:
            place = bisect_right(self._starts, at) - 1
            data, path, size = self._parts[place]
            inside = at - self._starts[place]
            length = min(size - inside, end - at)
            if path is None:
                yield data[inside : inside + length]
            else:
                yield from read_file(path, inside, inside + length)
            at += length


class OneFile:
    """A file by itself, read in the same way."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.size = path.stat().st_size

    def read(self, start: int, end: int) -> Iterator[bytes]:
        return read_file(self._path, start, end)


def read_file(path: Path, start: int, end: int) -> Iterator[bytes]:
    """A file's bytes from `start` up to `end`; OSError when it has become shorter."""
    with path.open("rb") as file:
        file.seek(start)
        while start < end:
            piece = file.read(min(PIECE, end - start))
            if not piece:
                raise OSError(f"{path.name} has changed while it was sent.")
            start += len(piece)
            yield piece


def of_rounds(files: Mapping[str, Path], numbers: Collection[int]) -> dict[str, Path | bytes]:
    """The files of some rounds only, and all that belong to every round: not the log of all."""
    theirs = tuple(f"-round-{number}.parquet" for number in numbers)
    of_all = {name: path for name, path in files.items() if not name.endswith(".jsonl")}
    return {n: p for n, p in of_all.items() if not n.startswith("data/") or n.endswith(theirs)}
