"""Which trouble of the database somebody has met, in a sentence; imports no models."""

from __future__ import annotations

import shutil
from pathlib import Path

from django.db import InterfaceError, OperationalError

NEEDED = 50 << 20  # bytes of a disk: SQLite's log grows to some megabytes before it is taken up

FULL = (
    "The server's disk is full, so that nothing new can be saved. What was confirmed is saved: "
    "whoever runs the server must make room."
)
LOCKED = (
    "The database is held by something that takes long. What was confirmed is saved: try again in "
    "a few seconds."
)
AWAY = (
    "The database does not answer at the moment. What was confirmed is saved: try again in a few "
    "seconds."
)
_SIGNS = {  # of SQLite, PostgreSQL and the system
    FULL: ("disk is full", "no space left", "disk full"),
    LOCKED: ("database is locked", "table is locked", "lock timeout"),
}


def is_outage(error: BaseException | None) -> bool:
    """Whether it failed because the database is away, full, held, overloaded or starting again."""
    return isinstance(error, OperationalError | InterfaceError)


def outage_words(error: BaseException | None) -> str:
    """What to tell people of it: the error's own text may name hosts."""
    text = str(error).lower()
    for sentence, signs in _SIGNS.items():
        if any(sign in text for sign in signs):
            return sentence
    return AWAY


def lacks_room(folder: Path) -> str:
    """What is wrong with the disk that a folder is on, for the operator; "" when there is room."""
    free = shutil.disk_usage(folder).free
    return "" if free >= NEEDED else f"{free >> 20} MB are left on the data folder's disk"
