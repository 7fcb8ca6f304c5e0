"""A release's folder: written whole or not at all, its files and their checksums."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from core.strict_json import as_it_stands

SUMS: Final = "SHA256SUMS"
LEDGER: Final = "ledger.json"
ROUNDS: Final = "rounds.parquet"
FORMAT: Final = 4
"""Of what is worked out anew from the log: columns, numbers and words."""
FORMATS: Final = (3, FORMAT)
"""Those that are proven here. 3 tells neither what each of several models said nor how rounds were.
"""


def as_lines(lines: Iterable[Mapping[str, Any]]) -> bytes:
    return b"".join(as_it_stands(line) + b"\n" for line in lines)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A folder to write into, which gets its name once all of it is on the disk.

    What a process that was killed had left of it goes first.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for name, number in _drafts_of(folder):
        if not _alive(number):
            shutil.rmtree(folder.with_name(name), ignore_errors=True)
    draft = folder.with_name(f".{folder.name}-{os.getpid()}.part")
    draft.mkdir()
    try:
        yield draft
        for path in (*draft.rglob("*"), draft):
            _sync(path)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    _sync(folder.parent)


def _drafts_of(folder: Path) -> list[tuple[str, int]]:
    """What others write, or had begun to write, for this folder: names and processes."""
    pattern = re.compile(rf"\.{re.escape(folder.name)}-(\d+)\.part")
    found = [pattern.fullmatch(path.name) for path in folder.parent.iterdir()]
    return [(one[0], int(one[1])) for one in found if one]


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return process != os.getpid()  # what this process had left is its own to clear


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def files_below(folder: Path) -> dict[str, Path]:
    """Every file by its path within the folder, in one order."""
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def write_sums(folder: Path) -> str:
    """Write SHA256SUMS over all files that are there, as sha256sum reads it; returns its own."""
    sums = {name: sha256_of(path) for name, path in files_below(folder).items()}
    (folder / SUMS).write_text("".join(f"{sha256}  {name}\n" for name, sha256 in sums.items()))
    return sha256_of(folder / SUMS)


def all_sums(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file of a release, of the two that it cannot list itself among them."""
    return {**read_sums(folder), **{name: sha256_of(folder / name) for name in (SUMS, LEDGER)}}


def read_sums(folder: Path) -> dict[str, str]:
    """What SHA256SUMS says; ValueError when it is none."""
    sums = {}
    for line in (folder / SUMS).read_text().splitlines():
        sha256, _, name = line.partition("  ")
        if len(sha256) != 64 or not name:
            raise ValueError(f"{SUMS} has a line that is none.")
        sums[name] = sha256
    return sums


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
