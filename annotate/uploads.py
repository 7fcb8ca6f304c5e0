"""A model's file that is larger than a request may be: it is sent in pieces, and goes on where it
stopped. Only who began it goes on with it, or registers it."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Final
from uuid import UUID

from django.conf import settings

from accounts.models import User
from annotate.models import Task
from core.errors import Refused

MOST: Final = 256 * 2**20  # bytes, of all that somebody has under way
KEPT: Final = 86_400  # seconds after its last piece


def add(*, task: Task, actor: User, upload: UUID, offset: int, piece: bytes) -> int:
    """Append the piece that begins at `offset`; how many bytes there are now.

    One that does not follow on what is there changes nothing: the sender goes on from the number.
    """
    if not task.is_owned_by(actor):
        raise Refused("not_an_owner", "Only an owner of the task may do this.", status=403)
    path = _path(actor, upload)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    _clear_away(path.parent)
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # two tabs, or a piece that was sent again
        there = os.fstat(file.fileno()).st_size
        if offset != there:
            return there
        mine = sum(map(_size, path.parent.glob(f"{actor.pk}-*")))
        if mine + len(piece) > MOST:
            raise Refused("too_large", f"At most {MOST // 2**20} MiB can be sent.", status=413)
        file.write(piece)
    return there + len(piece)


def sent(actor: User, upload: UUID) -> bytes:
    """All that has come of it."""
    try:
        return _path(actor, upload).read_bytes()
    except FileNotFoundError:
        raise Refused("no_upload", "The file that you sent is gone: send it again.") from None


def forget(actor: User, upload: UUID) -> None:
    """Delete what it is not needed for any more."""
    _path(actor, upload).unlink(missing_ok=True)


def _path(actor: User, upload: UUID) -> Path:
    return Path(settings.DATA_DIR) / "sent" / f"{actor.pk}-{upload}"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # registered at this moment
        return 0


def _clear_away(folder: Path) -> None:
    for path in folder.iterdir():
        with suppress(FileNotFoundError):  # another process was quicker
            if path.stat().st_mtime < time.time() - KEPT:
                path.unlink()
